package verify_test

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/internal/engines"
	"efcn/onnxio"
)

// open is an Options.Open.
func open(ctx context.Context, engine string, m *onnxio.Model) (verify.Session, error) {
	s, err := engines.Options{}.Open(ctx, engine, m)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openAny opens engines that need nothing installed. In place of ONNX Runtime,
// which is one, it gives the embedded engine on what instead makes of the model.
func openAny(instead func(m *onnxio.Model) *onnxio.Model) func(context.Context, string, *onnxio.Model) (verify.Session, error) {
	return func(ctx context.Context, name string, m *onnxio.Model) (verify.Session, error) {
		if name == engines.ONNXRuntime {
			name, m = engines.Embedded, instead(m)
		}
		return open(ctx, name, m)
	}
}

func same(m *onnxio.Model) *onnxio.Model { return m }

func statuses(r *verify.Report) []string {
	var all []string
	for _, c := range r.Checks[3:] { // after structure, float64 and float32
		all = append(all, c.Name+" "+string(c.Status))
	}
	return all
}

// TestEngines: a CNN and its eFCN are compared in every pair of engines, within
// the bound; an engine that computes something else is named, with the element
// and both values.
func TestEngines(t *testing.T) {
	cnn := readTrained(t, "plain-torchscript")
	efcn := converted(t, cnn, convert.Options{})
	r, err := verify.Verify(t.Context(), cnn, efcn, verify.Options{Samples: 16, Engines: []string{engines.OnnxGo, engines.Embedded}, Open: openAny(same)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := statuses(r), []string{"embedded:onnx-go ok", "onnx-go:embedded ok", "onnx-go ok"}; !r.Equal() || !slices.Equal(got, want) {
		t.Errorf("equal %t, %q, want %q", r.Equal(), got, want)
	}
	for _, e := range r.Engines {
		o := e.Outputs[0]
		// Without code of our own for the processor, the engines may add in one order.
		differ := o.Ratio > 0 || runtime.GOARCH != "amd64"
		if o.Name != "logits" || o.Rows != 16 || o.Agree != 16 || !differ || o.Ratio >= 0.1 || e.Unbounded != "" {
			t.Errorf("%s:%s: %+v", e.CNN, e.EFCN, o)
		}
	}
	if b, err := json.Marshal(r); err != nil || !strings.Contains(string(b), `"engines":[{"cnn":"embedded","efcn":"onnx-go","outputs":[{"name":"logits"`) {
		t.Errorf("%s, %v", b, err)
	}

	faulty := func(m *onnxio.Model) *onnxio.Model {
		m = m.Clone()
		for _, init := range m.Graph.Initializers {
			if len(init.Dims) == 1 && init.Dims[0] == 10 { // the bias of the last layer
				edit(t, m, init.Name, func(v []float32, _ []int64) { v[3] += 0.25 })
			}
		}
		return m
	}
	r, err = verify.Verify(t.Context(), cnn, efcn, verify.Options{Samples: 16, Engines: []string{"embedded:onnxruntime"}, Open: openAny(faulty)})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, f := range r.Findings {
		text += f.String() + "\n"
	}
	if got, want := statuses(r), []string{"embedded:onnxruntime failed"}; r.Equal() || !slices.Equal(got, want) || len(r.Failing) == 0 {
		t.Errorf("equal %t, %q, want %q", r.Equal(), got, want)
	}
	for _, want := range []string{"embedded:onnxruntime: node ", " 3] of \"logits\" (sample first): the CNN in embedded has ", ", the eFCN in onnxruntime ", "0.25 apart; rounding explains at most"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nwant %q", text, want)
		}
	}
}

// withLast appends a node to mutable, which onnx-go does not run.
func withLast(op string) *onnxio.Model {
	m := mutable()
	m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{Name: "last", OpType: op, Inputs: []string{"fc_out"}, Outputs: []string{"y"}})
	m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "y", Type: m.Graph.Outputs[0].Type}}
	return m
}

// TestEnginesApart: what an engine cannot run, and what no bound is known of.
func TestEnginesApart(t *testing.T) {
	shifted := func(m *onnxio.Model) *onnxio.Model {
		m = m.Clone()
		edit(t, m, "fc.bias", func(v []float32, _ []int64) { v[1] += 0.5 })
		return m
	}
	plain := readTrained(t, "plain-torchscript")
	for _, c := range []struct {
		name     string
		cnn      *onnxio.Model
		o        verify.Options
		instead  func(m *onnxio.Model) *onnxio.Model
		statuses []string
		text     string // in a summary or finding
		err      string
	}{
		{name: "only sums", cnn: withLast("Relu"), o: verify.Options{Engines: []string{"onnxruntime:onnxruntime"}}, statuses: []string{"onnxruntime ok"}},
		{
			name: "no bound, no tolerance", cnn: withLast("Sigmoid"), o: verify.Options{Engines: []string{"onnxruntime:embedded"}},
			instead: shifted, statuses: []string{"onnxruntime:embedded skipped"},
			text: `not judged: node "last" (Sigmoid) is no sum or product, and engines approximate it in their own ways; a tolerance would decide`,
		},
		{name: "no bound, a tolerance that is met", cnn: withLast("Sigmoid"), o: verify.Options{Engines: []string{"onnxruntime:embedded"}, ATol: 1e-5}, statuses: []string{"onnxruntime:embedded ok"}},
		{
			name: "no bound, a tolerance that is missed", cnn: withLast("Sigmoid"), o: verify.Options{Engines: []string{"onnxruntime:embedded"}, ATol: 1e-5},
			instead: shifted, statuses: []string{"onnxruntime:embedded failed"},
			text: "between the CNN in onnxruntime and the eFCN in embedded, ",
		},
		{
			name: "another shape", cnn: withLast("Relu"), o: verify.Options{Engines: []string{"embedded:onnxruntime"}},
			instead: func(m *onnxio.Model) *onnxio.Model {
				m = m.Clone()
				m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{Name: "twice", OpType: "Concat", Inputs: []string{"y", "y"}, Outputs: []string{"yy"}, Attributes: []*onnxio.Attribute{onnxio.IntAttr("axis", 1)}})
				m.Graph.Nodes = append(m.Graph.Nodes, &onnxio.Node{Name: "other", OpType: "Identity", Inputs: []string{"yy"}, Outputs: []string{"z"}})
				m.Graph.Outputs = []*onnxio.ValueInfo{{Name: "z", Type: onnxio.TensorType{Elem: onnxio.Float32}}}
				for _, n := range m.Graph.Nodes {
					for _, list := range [][]string{n.Inputs, n.Outputs} {
						for i, name := range list {
							list[i] = map[string]string{"y": "old", "z": "y"}[name]
							if list[i] == "" {
								list[i] = name
							}
						}
					}
				}
				m.Graph.Outputs[0].Name = "y"
				return m
			},
			statuses: []string{"embedded:onnxruntime failed"}, text: "the CNN in embedded gives float32 [16 5], the eFCN in onnxruntime float32 [16 10]",
		},
		{
			name: "left out of a list", cnn: readTrained(t, "lenet-torchscript"), o: verify.Options{Engines: []string{engines.OnnxGo}},
			statuses: []string{"onnx-go:embedded skipped", "onnx-go skipped", "embedded:onnx-go ok"},
			text:     `node "/Shape" (Shape): onnx-go does not support the operator`,
		},
		{name: "asked for by itself", cnn: withLast("Relu"), o: verify.Options{Engines: []string{"onnx-go:embedded"}}, err: `node "conv1" (Conv): onnx-go does not support group 2; want 1`},
		{name: "an engine that runs neither", cnn: withLast("Relu"), o: verify.Options{Engines: []string{"onnx-go"}}, err: "onnx-go does not support"},
		{name: "no such engine", cnn: plain, o: verify.Options{Engines: []string{"tvm"}}, err: `engine: none is called "tvm"; embedded, onnxruntime, onnx-go are`},
		{name: "half a pair", cnn: plain, o: verify.Options{Engines: []string{"onnx-go:"}}, err: `engine: none is called ""`},
		{name: "what is checked anyway", cnn: plain, o: verify.Options{Engines: []string{"embedded:embedded"}}, err: "is what the check float32 compares"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.instead == nil {
				c.instead = same
			}
			c.o.Samples, c.o.Open = 16, openAny(c.instead)
			r, err := verify.Verify(t.Context(), c.cnn, converted(t, c.cnn, convert.Options{}), c.o)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, check := range r.Checks {
				text += check.Summary + "\n"
			}
			for _, f := range r.Findings {
				text += f.String() + "\n"
			}
			if got := statuses(r); !slices.Equal(got, c.statuses) || !strings.Contains(text, c.text) {
				t.Errorf("%q, want %q\n%s\nwant %q", got, c.statuses, text, c.text)
			}
		})
	}
}

// TestEngineNames: the names that Options.Engines takes are those that there are.
func TestEngineNames(t *testing.T) {
	for _, name := range append(engines.Names(), "another") {
		err := verify.Options{Engines: []string{name}, Open: open}.Validate()
		if known := name != "another"; known != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
