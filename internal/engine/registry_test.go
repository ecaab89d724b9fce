package engine

import (
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
)

// versionsOf returns the versions of an operator that are in force in an opset that
// is run, each with the last such opset.
func versionsOf(t *testing.T, name string) (schemas []*onnxio.OpSchema, last int64) {
	t.Helper()
	for opset := int64(onnxio.OldestOpset); opset <= onnxio.NewestOpset; opset++ {
		s, err := onnxio.SupportedOp(&onnxio.Node{Domain: registry[name].domain, OpType: name}, opset)
		if err != nil {
			continue
		}
		if last = opset; len(schemas) == 0 || schemas[len(schemas)-1] != s {
			schemas = append(schemas, s)
		}
	}
	if len(schemas) == 0 {
		t.Fatalf("%s: no schema", name)
	}
	return schemas, last
}

// TestAttributes holds the attributes that builders read against the schemas: one
// that a builder doesn't ask for would be refused as unknown, one that the schema
// doesn't have would be taken where it means nothing.
func TestAttributes(t *testing.T) {
	refused := map[string]string{
		"Constant": "reads the one attribute that is there",
	}
	checked := 0
	for name, op := range registry {
		if refused[name] != "" {
			continue
		}
		schemas, _ := versionsOf(t, name)
		for _, s := range schemas {
			v := s.SinceVersion
			var want []string
			for _, a := range s.Attributes {
				want = append(want, a.Name)
			}
			empty := &onnxio.Graph{
				Outputs:      []*onnxio.ValueInfo{{Name: "y"}},
				Initializers: []*onnxio.Tensor{onnxio.NewTensor("y", nil, []float32{0})},
			}
			n := &node{version: v, opsets: map[string]int64{"": v}, Node: &onnxio.Node{
				OpType: name, Inputs: []string{"a", "b"}, Outputs: []string{"y"},
				Attributes: []*onnxio.Attribute{
					{Name: "then_branch", Type: onnxio.AttrGraph, G: empty},
					{Name: "else_branch", Type: onnxio.AttrGraph, G: empty},
				},
			}}
			_, _ = build[float32](op)(n)
			slices.Sort(n.read)
			got := slices.Compact(n.read)
			slices.Sort(want)
			for _, a := range got {
				if !slices.Contains(want, a) {
					t.Errorf("%s version %d reads %s, which the schema does not have", name, v, a)
				}
			}
			for _, a := range want {
				if !slices.Contains(got, a) {
					t.Errorf("%s version %d does not read %s", name, v, a)
				}
			}
			checked++
		}
	}
	if checked < 250 {
		t.Errorf("checked %d versions of operators, want at least 250", checked)
	}
}

// TestInputs holds the signatures against the schemas.
func TestInputs(t *testing.T) {
	for name, op := range registry {
		schemas, _ := versionsOf(t, name)
		most := 0
		for _, s := range schemas {
			if most = max(most, s.MaxInputs); s.MaxInputs < 0 {
				most = -1
				break
			}
		}
		slots := op.slots()
		if op.variadic() {
			slots = -1
		}
		if most != slots {
			t.Errorf("%s takes up to %d inputs, the schema says %d", name, slots, most)
		}
		if strings.Trim(op.inputs, "fnibv*") != "" {
			t.Errorf("%s: inputs %q", name, op.inputs)
		}
	}
}
