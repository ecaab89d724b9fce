package engine

import (
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
)

// TestVersions holds the versions that operators list against the schemas: one
// that is missing would run a node by the rules of an older version.
func TestVersions(t *testing.T) {
	if latest := onnxio.LatestOpset(""); latest != maxOpset {
		t.Errorf("the engine runs opsets up to %d, the schemas go to %d", maxOpset, latest)
	}
	for name, op := range registry {
		var want []int64
		for opset := int64(1); opset <= maxOpset; opset++ {
			s, ok := onnxio.LookupOp("", name, opset)
			if !ok || op.until != 0 && opset > op.until {
				continue
			}
			if len(want) == 0 || want[len(want)-1] != s.SinceVersion {
				want = append(want, s.SinceVersion)
			}
		}
		if !slices.Equal(op.versions, want) {
			t.Errorf("%s: versions %v, the schemas have %v", name, op.versions, want)
		}
	}
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
		for _, v := range op.versions {
			next := slices.Index(op.versions, v) + 1
			if next < len(op.versions) && op.versions[next] <= minOpset {
				continue // in force only before the first opset that is run
			}
			s, ok := onnxio.LookupOp("", name, v)
			if !ok {
				t.Fatalf("%s: no schema", name)
			}
			var want []string
			for _, a := range s.Attributes {
				want = append(want, a.Name)
			}
			empty := &onnxio.Graph{Outputs: []*onnxio.ValueInfo{{Name: "y"}}, Initializers: []*onnxio.Tensor{onnxio.NewTensor("y", nil, []float32{0})}}
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
		newest := min(maxOpset, op.versions[len(op.versions)-1])
		s, _ := onnxio.LookupOp("", name, newest)
		slots := op.slots()
		if op.variadic() {
			slots = -1
		}
		if s.MaxInputs != slots {
			t.Errorf("%s takes up to %d inputs, the schema says %d", name, slots, s.MaxInputs)
		}
		if strings.Trim(op.inputs, "fnibv*") != "" {
			t.Errorf("%s: inputs %q", name, op.inputs)
		}
	}
}
