package shape_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// opCase is one node and what is inferred of it.
type opCase struct {
	op    string
	opset int64 // 0 is 22
	// in lists the inputs: a type such as "float32[batch,3,8,8]" ("?" is an
	// unknown dimension, "[...]" an unknown rank), a constant ([]int64, int64,
	// []float32, []bool), or nil for one that is left out.
	in    []any
	attrs []*onnxio.Attribute
	want  []string // types of the outputs, as in in
	ints  string   // content of output 0
	err   string   // part of the error
}

func (c opCase) model(t *testing.T) *onnxio.Model {
	t.Helper()
	if c.opset == 0 {
		c.opset = 22
	}
	n := &onnxio.Node{Name: "n", OpType: c.op, Attributes: c.attrs}
	g := &onnxio.Graph{Name: "g", Nodes: []*onnxio.Node{n}}
	for i, in := range c.in {
		name := fmt.Sprintf("x%d", i)
		switch v := in.(type) {
		case nil:
			name = ""
		case string:
			g.Inputs = append(g.Inputs, &onnxio.ValueInfo{Name: name, Type: parseType(t, v)})
		case int64:
			g.Initializers = append(g.Initializers, onnxio.NewTensor(name, nil, []int64{v}))
		case []int64:
			g.Initializers = append(g.Initializers, onnxio.NewTensor(name, []int64{int64(len(v))}, v))
		case []float32:
			g.Initializers = append(g.Initializers, onnxio.NewTensor(name, []int64{int64(len(v))}, v))
		case []bool:
			g.Initializers = append(g.Initializers, onnxio.NewTensor(name, []int64{int64(len(v))}, v))
		default:
			t.Fatalf("input %d has type %T", i, in)
		}
		n.Inputs = append(n.Inputs, name)
	}
	for i := range max(1, len(c.want)) {
		name := fmt.Sprintf("y%d", i)
		n.Outputs = append(n.Outputs, name)
		g.Outputs = append(g.Outputs, &onnxio.ValueInfo{Name: name})
	}
	return &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: c.opset}}, Graph: g}
}

func parseType(t *testing.T, text string) onnxio.TensorType {
	t.Helper()
	name, dims, _ := strings.Cut(strings.TrimSuffix(text, "]"), "[")
	out := onnxio.TensorType{HasShape: dims != "..."}
	for e := onnxio.Undefined; e <= onnxio.BFloat16; e++ {
		if e.String() == name {
			out.Elem = e
		}
	}
	if !out.HasShape || dims == "" {
		return out
	}
	for d := range strings.SplitSeq(dims, ",") {
		if v, err := strconv.ParseInt(d, 10, 64); err == nil {
			out.Shape = append(out.Shape, onnxio.Fixed(v))
		} else {
			out.Shape = append(out.Shape, onnxio.Symbol(strings.Trim(d, "?")))
		}
	}
	return out
}

func formatType(v onnxio.TensorType) string {
	if !v.HasShape {
		return v.Elem.String() + "[...]"
	}
	return v.Elem.String() + formatDims(v.Shape)
}

func formatDims(dims []onnxio.Dim) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		switch {
		case d.Param != "":
			parts[i] = d.Param
		case d.Value < 0:
			parts[i] = "?"
		default:
			parts[i] = strconv.FormatInt(d.Value, 10)
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func formatInts(list []onnxio.Dim) string {
	parts := make([]string, len(list))
	for i, d := range list {
		if parts[i] = d.Param; d.Param == "" {
			parts[i] = strconv.FormatInt(d.Value, 10)
		}
	}
	return strings.Join(parts, " ")
}

func runCases(t *testing.T, cases []opCase) {
	t.Helper()
	for i, c := range cases {
		t.Run(fmt.Sprintf("%d_%s", i, c.op), func(t *testing.T) {
			info, err := shape.Infer(c.model(t), shape.Options{Evaluate: constants.Evaluate})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want one with %q", err, c.err)
				}
				if want := fmt.Sprintf("node %q (%s): ", "n", c.op); !strings.HasPrefix(err.Error(), want) {
					t.Errorf("error %q does not start with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for k, want := range c.want {
				got, ok := info.Type(fmt.Sprintf("y%d", k))
				if !ok || formatType(got) != want {
					t.Errorf("output %d is %s, want %s", k, formatType(got), want)
				}
			}
			if c.ints != "" {
				list, ok := info.Ints("y0")
				if got := formatInts(list); !ok || got != c.ints {
					t.Errorf("content is %q (%v), want %q", got, ok, c.ints)
				}
			}
		})
	}
}

// attribute shorthands
var (
	ints = onnxio.IntsAttr
	num  = onnxio.IntAttr
	str  = onnxio.StringAttr
)

func attrs(list ...*onnxio.Attribute) []*onnxio.Attribute { return list }
