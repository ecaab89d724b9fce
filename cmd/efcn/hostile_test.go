package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"efcn/onnxio"
)

// hostile steers a terminal, breaks a line and is no UTF-8.
const hostile = "a\x1b[31m\n\r\u202e\x00\xffz"

// hostileModel returns Conv → Relu → Conv with one of its strings, by number, made
// hostile, and what that is; "" past the last.
func hostileModel(position int) (m *onnxio.Model, what string) {
	node := func(op, out string, in ...string) *onnxio.Node {
		return &onnxio.Node{Name: out + "_node", OpType: op, Inputs: in, Outputs: []string{out}}
	}
	value := func(name string, dims ...int64) *onnxio.ValueInfo {
		v := &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N")}}}
		for _, d := range dims {
			v.Type.Shape = append(v.Type.Shape, onnxio.Fixed(d))
		}
		return v
	}
	m = &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, ProducerName: "test",
		Metadata: []onnxio.Prop{{Key: "k", Value: "v"}},
		Graph: &onnxio.Graph{
			Name: "g", Inputs: []*onnxio.ValueInfo{value("x", 1, 4, 4)}, Outputs: []*onnxio.ValueInfo{value("y", 1, 3, 3)},
			Nodes: []*onnxio.Node{node("Conv", "c", "x", "w"), node("Relu", "r", "c"), node("Conv", "y", "r", "v")},
			Initializers: []*onnxio.Tensor{
				onnxio.NewTensor("w", []int64{2, 1, 2, 2}, make([]float32, 8)),
				onnxio.NewTensor("v", []int64{1, 2, 1, 1}, make([]float32, 2)),
			},
		},
	}
	n := m.Graph.Nodes
	n[0].Attributes = []*onnxio.Attribute{onnxio.StringAttr("auto_pad", "NOTSET")}
	rename := func(what, from string) (string, func()) {
		return what, func() {
			for _, n := range n {
				for _, list := range [][]string{n.Inputs, n.Outputs} {
					for i := range list {
						if list[i] == from {
							list[i] = hostile
						}
					}
				}
			}
			for _, list := range [][]*onnxio.ValueInfo{m.Graph.Inputs, m.Graph.Outputs} {
				for _, v := range list {
					if v.Name == from {
						v.Name = hostile
					}
				}
			}
			for _, t := range m.Graph.Initializers {
				if t.Name == from {
					t.Name = hostile
				}
			}
		}
	}
	set := func(what string, s *string) (string, func()) { return what, func() { *s = hostile } }
	for i, at := range []func() (string, func()){
		func() (string, func()) { return set("node name", &n[0].Name) },
		func() (string, func()) { return set("operator", &n[1].OpType) },
		func() (string, func()) { return set("domain of a node", &n[1].Domain) },
		func() (string, func()) { return set("producer", &m.ProducerName) },
		func() (string, func()) { return set("domain", &m.Domain) },
		func() (string, func()) { return set("metadata key", &m.Metadata[0].Key) },
		func() (string, func()) { return set("metadata", &m.Metadata[0].Value) },
		func() (string, func()) { return set("graph name", &m.Graph.Name) },
		func() (string, func()) { return set("attribute name", &n[0].Attributes[0].Name) },
		func() (string, func()) {
			return "attribute", func() { n[0].Attributes[0] = onnxio.StringAttr("auto_pad", hostile) }
		},
		func() (string, func()) { return set("dangling input", &n[1].Inputs[0]) },
		func() (string, func()) {
			return set("output of the graph that nothing makes", &m.Graph.Outputs[0].Name)
		},
		func() (string, func()) { return rename("input", "x") },
		func() (string, func()) { return rename("output", "y") },
		func() (string, func()) { return rename("value", "c") },
		func() (string, func()) { return rename("weight", "w") },
		func() (string, func()) {
			return "dimension", func() { m.Graph.Inputs[0].Type.Shape[2] = onnxio.Symbol(hostile) }
		},
		func() (string, func()) {
			return "batch", func() {
				m.Graph.Inputs[0].Type.Shape[0], m.Graph.Outputs[0].Type.Shape[0] = onnxio.Symbol(hostile), onnxio.Symbol(hostile)
			}
		},
		func() (string, func()) {
			return "domain of an operator set", func() { m.Opsets = append(m.Opsets, onnxio.Opset{Domain: hostile, Version: 1}) }
		},
		func() (string, func()) { return "record", func() { m.SetMeta("efcn", hostile) } },
		func() (string, func()) {
			return "strings in a record", func() {
				m.SetMeta("efcn", `{"version":1,"layers":[{"op":"Conv\u001b","node":"n\u001b[31m","source":"c\u001b","output":"c\u001b","weight":"w\u001b","bias":"","layout":"dense\u001b","input_shape":[1,4,4],"output_shape":[2,3,3]}]}`)
			}
		},
		func() (string, func()) {
			return "function", func() {
				m.Functions = []*onnxio.Function{{Name: hostile, Domain: hostile, Inputs: []string{hostile}, Outputs: []string{hostile}}}
			}
		},
		func() (string, func()) {
			return "output declared wrongly", func() {
				m.Graph.Outputs[0].Type.Shape[1] = onnxio.Fixed(7)
				n[2].Name, n[2].Outputs[0], m.Graph.Outputs[0].Name = hostile, hostile, hostile
			}
		},
	} {
		what, spoil := at()
		if i == position {
			spoil()
			return m, what
		}
	}
	return nil, ""
}

// TestHostileNames: whatever a file calls things, no command sends what steers a
// terminal or is no UTF-8.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	fine, _ := hostileModel(3)
	fine.ProducerName = "test"
	write := func(name string, m *onnxio.Model) string {
		path := filepath.Join(dir, name)
		var b bytes.Buffer
		if _, err := onnxio.WriteTo(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.onnx", fine)
	labels := "idx:" + filepath.Join("../../testdata/fashion-mnist", "test-images-2k-idx3-ubyte.gz") + "," + filepath.Join("../../testdata/fashion-mnist", "test-labels-2k-idx1-ubyte.gz") + "?resize=4x4&limit=20"
	ran, spoken := 0, 0
	for i := 0; ; i++ {
		m, what := hostileModel(i)
		if m == nil {
			break
		}
		bad := write(fmt.Sprintf("bad-%d.onnx", i), m)
		efcn, out := filepath.Join(dir, fmt.Sprintf("efcn-%d.onnx", i)), filepath.Join(dir, "out.onnx")
		for _, args := range [][]string{
			{"check", bad},
			{"check", bad, "--json"},
			{"inspect", bad},
			{"inspect", bad, "--json"},
			{"convert", bad, "-o", efcn},
			{"convert", bad, "-o", out, "--json"},
			{"convert", bad, "-o", out, "--fold", "--strict", "--maxpool", "relu"},
			{"convert", bad, "--dry-run", "--layer", "none=keep"},
			{"verify", bad, bad},
			{"verify", good, bad},
			{"verify", bad, efcn},
			{"verify", efcn, bad, "--json"},
			{"inspect", efcn},
			{"run", bad, "--inputs", filepath.Join(dir, "nowhere.npz")},
			{"run", bad, "--inputs", "../../testdata/models/plain-torchscript/inputs.npz"},
			{"eval", bad, "--data", labels},
			{"finetune", bad, "--data", labels, "-o", out, "--epochs", "1", "--batch", "10"},
			{"measure", bad},
			{"measure", efcn, "--cnn", bad},
			{"project", efcn, "-o", out},
			{"project", bad, "-o", out},
			{"interpolate", bad, efcn, "--data", labels, "--points", "2"},
			{"relax", bad, "--data", labels, "--test", labels, "-o", filepath.Join(dir, "study"), "--dry-run"},
			{"export", efcn, "--layer", "none", "-o", filepath.Join(dir, "a.npy")},
			{"export", bad, "--layer", "none", "-o", filepath.Join(dir, "a.npy")},
			{"report", bad, "-o", out},
		} {
			var stdout, stderr bytes.Buffer
			execute(context.Background(), append(args, "-v"), strings.NewReader(""), io.Writer(&stdout), &stderr)
			ran++
			text := stdout.String() + stderr.String()
			if strings.Contains(text, "31m") {
				spoken++
			}
			steers := func(r rune) bool {
				// JSON has escapes of its own, of control characters alone.
				return r != '\n' && r != '\t' && (unicode.IsControl(r) || !unicode.IsGraphic(r) && !slices.Contains(args, "--json"))
			}
			if at := strings.IndexFunc(text, steers); at >= 0 || !utf8.ValidString(text) {
				t.Errorf("%s: efcn %s: %q", what, strings.ReplaceAll(strings.Join(args, " "), dir+"/", ""), text)
			}
		}
	}
	if ran != 23*26 || spoken < 100 {
		t.Errorf("%d command lines, %d of which printed such a string", ran, spoken)
	}
}
