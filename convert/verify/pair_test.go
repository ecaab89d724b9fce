package verify_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// TestTwoExports: two exports of one network, with other names and one of them
// with its BatchNormalization merged by the exporter, are equal; the structure
// is skipped and says so.
func TestTwoExports(t *testing.T) {
	for _, pair := range [][2]string{{"lenet-torchscript", "lenet-dynamo"}, {"lenet-dynamo", "lenet-torchscript"}, {"resnet-torchscript", "resnet-dynamo"}} {
		t.Run(strings.Join(pair[:], " "), func(t *testing.T) {
			a, b := readTrained(t, pair[0]), readTrained(t, pair[1])
			r, err := verify.Verify(context.Background(), a, b, verify.Options{Samples: 16})
			if err != nil {
				t.Fatal(err)
			}
			if testing.Verbose() {
				_ = r.WriteText(os.Stdout)
			}
			if !r.Equal() || r.Recorded || r.Checks[0].Status != verify.Skipped || !strings.Contains(r.Checks[0].Summary, "no record") {
				t.Errorf("equal %t, recorded %t, %+v; %v", r.Equal(), r.Recorded, r.Checks, r.Findings)
			}
		})
	}
}

// TestOptimised: what optimisers make of a model is equal to it, names used for
// other values and merged operators included; a weight changed after that is not.
func TestOptimised(t *testing.T) {
	for _, name := range []string{"lenet-torchscript", "resnet-torchscript"} {
		for _, by := range []string{"onnxruntime", "onnxsim"} {
			t.Run(name+" "+by, func(t *testing.T) {
				m, err := onnxio.Read(filepath.Join("..", "..", "testdata", "optimised", name+"-"+by+".onnx"))
				if err != nil {
					t.Fatal(err)
				}
				r, err := verify.Verify(context.Background(), readTrained(t, name), m, verify.Options{Samples: 16})
				if err != nil {
					t.Fatal(err)
				}
				if !r.Equal() || r.Checks[0].Status != verify.Skipped || len(r.Failing) > 0 {
					t.Errorf("%+v; %v", r.Checks, r.Findings)
				}
				for _, n := range m.Graph.Nodes {
					if n.OpType == "Conv" {
						edit(t, m, n.Input(1), func(v []float32, _ []int64) { v[3] *= 1.01 })
						break
					}
				}
				r, err = verify.Verify(context.Background(), readTrained(t, name), m, verify.Options{Samples: 16})
				if err != nil || r.Equal() || len(r.Failing) == 0 || r.FailingInputs[0].Dims[0] != int64(len(r.Failing)) {
					t.Errorf("%v: a weight changed by a hundredth is not seen; samples %v", err, r.Failing)
				}
			})
		}
	}
}

// TestReplay: the inputs that showed a fault show it again.
func TestReplay(t *testing.T) {
	efcn := converted(t, mutable(), convert.Options{Layout: record.Local})
	edit(t, efcn, "fc.weight", func(v []float32, _ []int64) { v[7] *= 1.001 })
	for _, o := range []verify.Options{{Samples: 16}, {Samples: 16, Skip: []string{verify.Float64}}, {Samples: 16, ATol: 1e-9, Skip: []string{verify.Structure}}} {
		r, err := verify.Verify(context.Background(), mutable(), efcn, o)
		if err != nil || r.Equal() || len(r.Failing) == 0 {
			t.Fatal(err, r)
		}
		o.Samples, o.Inputs = -1, r.FailingInputs
		again, err := verify.Verify(context.Background(), mutable(), efcn, o)
		if err != nil || len(again.Failing) != len(r.Failing) || again.Samples != len(r.Failing) {
			t.Errorf("%v: %v failed, and of those %v again", err, r.Failing, again.Failing)
		}
	}
}

// TestPair: what is said of two models without a record.
func TestPair(t *testing.T) {
	tests := []struct {
		name  string
		edit  func(t *testing.T, m *onnxio.Model)
		o     verify.Options
		equal bool
		text  string // of a finding
	}{
		{name: "the same", edit: func(*testing.T, *onnxio.Model) {}, equal: true},
		{
			name: "a weight changed by a hundredth", text: `the first value where the two part is "conv2_out", computed by node "conv2" (Conv)`,
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "w2", func(v []float32, _ []int64) { v[11] *= 1.01 })
			},
		},
		{
			name: "a weight changed by one ulp, which an optimiser's rounding could be", equal: true,
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "w2", func(v []float32, _ []int64) { ulp(v, 11) })
			},
		},
		{
			name: "a tolerance decides what is equal", equal: true, o: verify.Options{ATol: 1},
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "w2", func(v []float32, _ []int64) { v[11] *= 1.01 })
			},
		},
		{
			name: "a tolerance that is missed", o: verify.Options{ATol: 1e-9, RTol: 1e-9}, text: "miss the tolerance 1e-09 + 1e-09·|A|",
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "w2", func(v []float32, _ []int64) { v[11] *= 1.01 })
			},
		},
		{
			name: "another shape of the output", text: "A gives float32 [16 5], B float32 [16 6]",
			edit: func(t *testing.T, m *onnxio.Model) {
				for i, init := range m.Graph.Initializers {
					switch init.Name {
					case "fc.weight":
						m.Graph.Initializers[i] = onnxio.NewTensor(init.Name, []int64{6, 4}, make([]float32, 24))
					case "fc.bias":
						m.Graph.Initializers[i] = onnxio.NewTensor(init.Name, []int64{6}, make([]float32, 6))
					}
				}
				m.Graph.Outputs[0] = &onnxio.ValueInfo{Name: "fc_out", Type: onnxio.TensorType{Elem: onnxio.Float32}}
			},
		},
		{
			name: "NaN in one of them", text: "B NaN",
			edit: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "fc.bias", func(v []float32, _ []int64) { v[2] = float32(math.NaN()) })
			},
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			m := mutable()
			c.edit(t, m)
			c.o.Samples = 16
			r, err := verify.Verify(context.Background(), mutable(), m, c.o)
			if err != nil {
				t.Fatal(err)
			}
			found := c.text == ""
			for _, f := range r.Findings {
				found = found || strings.Contains(f.Text, c.text)
			}
			if r.Equal() != c.equal || !found {
				t.Errorf("equal %t, want %t with a finding that says %q; got %v", r.Equal(), c.equal, c.text, r.Findings)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRefused: what cannot be compared is an error that says why.
func TestRefused(t *testing.T) {
	with := func(f func(m *onnxio.Model)) *onnxio.Model {
		m := mutable().Clone()
		f(m)
		return m
	}
	given := onnxio.NewTensor("x", []int64{2, 4, 8, 7}, make([]float32, 2*4*8*7))
	tests := []struct {
		name      string
		cnn, efcn *onnxio.Model
		o         verify.Options
		err       string
	}{
		{
			name: "outputs", efcn: with(func(m *onnxio.Model) {
				m.Graph.Outputs = append(m.Graph.Outputs, &onnxio.ValueInfo{Name: "gap_out"})
			}),
			err: `the models have different outputs: "fc_out" float32 [N 5] and "fc_out" float32 [N 5], "gap_out" undefined; want as many`,
		},
		{
			name: "inputs of other shapes", efcn: renamed(with(func(m *onnxio.Model) {
				m.Graph.Inputs[0].Type.Shape[1] = onnxio.Fixed(3)
			})),
			err: `the models have different inputs: "x" float32 [N 4 8 8] and "t0" float32 [N 3 8 8]; "x" and "t0" are of one place and do not fit`,
		},
		{name: "skip", o: verify.Options{Skip: []string{"everything"}}, err: `no check is called "everything"`},
		{name: "tolerance", o: verify.Options{RTol: math.NaN()}, err: "tolerance: want a finite number"},
		{name: "no samples", o: verify.Options{Samples: -1}, err: "samples: there are none"},
		{name: "given shape", o: verify.Options{Inputs: []*onnxio.Tensor{given}}, err: `input "x": the array given has shape [2 4 8 7]; want N×[4 8 8]`},
		{name: "given name", o: verify.Options{Inputs: []*onnxio.Tensor{onnxio.NewTensor("y", []int64{1}, []float32{1})}}, err: `input "x" is not among the given inputs`},
		{name: "given twice", o: verify.Options{Inputs: []*onnxio.Tensor{given, given}}, err: `input "x" is given twice`},
		{name: "shape", o: verify.Options{InputShapes: map[string][]int64{"x": {-1, 4, 8, 9}}}, err: `input "x": the shape [-1 4 8 9] given for it does not fit dimension 3, which is 8`},
		{
			name: "open dimension",
			cnn:  with(func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[2] = onnxio.Symbol("H") }),
			err:  `input "x": dimension 2 ("H") is not a number; fix it`,
		},
		{
			name: "a batch of none",
			cnn:  with(func(m *onnxio.Model) { m.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(0) }),
			err:  `input "x": its first axis, the batch, is 0`,
		},
		{
			name: "operator",
			cnn:  with(func(m *onnxio.Model) { m.Graph.Nodes[2].OpType = "Nonesuch" }),
			err:  `node "relu1" (Nonesuch)`,
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			if c.cnn == nil {
				c.cnn = mutable()
			}
			if c.efcn == nil {
				c.efcn = mutable()
			}
			_, err := verify.Verify(context.Background(), c.cnn, c.efcn, c.o)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v; want %q", err, c.err)
			}
		})
	}
}

// TestInputs: given inputs are run beside the random ones, in batches; a fixed
// batch is kept to.
func TestInputs(t *testing.T) {
	given := onnxio.NewTensor("x", []int64{5, 4, 8, 8}, make([]float32, 5*4*8*8))
	efcn := converted(t, mutable(), convert.Options{})
	r, err := verify.Verify(context.Background(), mutable(), efcn, verify.Options{
		Inputs: []*onnxio.Tensor{given}, Samples: 6, Batch: 4,
	})
	if err != nil || !r.Equal() || r.Samples != 11 || r.Outputs[0].Rows != 11 {
		t.Errorf("%v, samples %d, want 5 given and 6 random", err, r.Samples)
	}

	fixed := mutable()
	fixed.Graph.Inputs[0].Type.Shape[0] = onnxio.Fixed(4)
	fixed.Graph.Outputs[0].Type.Shape[0] = onnxio.Fixed(4)
	efcn = converted(t, fixed, convert.Options{})
	r, err = verify.Verify(context.Background(), fixed, efcn, verify.Options{Samples: 6})
	if err != nil || !r.Equal() || r.Samples != 8 {
		t.Errorf("%v; a batch of 4 makes 8 samples of 6", err)
	}
	_, err = verify.Verify(context.Background(), fixed, efcn, verify.Options{Samples: -1, Inputs: []*onnxio.Tensor{given}})
	if err == nil || !strings.Contains(err.Error(), "5 samples are given; the models take exactly 4 at a time") {
		t.Errorf("got %v", err)
	}
	none := onnxio.NewTensor("x", []int64{0, 4, 8, 8}, []float32{})
	_, err = verify.Verify(context.Background(), mutable(), mutable(), verify.Options{Samples: -1, Inputs: []*onnxio.Tensor{none}})
	if err == nil || !strings.Contains(err.Error(), "the inputs hold no samples") {
		t.Errorf("got %v; nothing was run, which is no equality", err)
	}
}

// TestInputShapes: an eFCN says which shapes its CNN was converted for, whatever
// the CNN's own file leaves open or says.
func TestInputShapes(t *testing.T) {
	for _, height := range []onnxio.Dim{onnxio.Symbol("H"), onnxio.Fixed(12)} {
		open := mutable()
		open.Graph.Inputs[0].Type.Shape[2] = height
		efcn := converted(t, open, convert.Options{InputShapes: map[string][]int64{"x": {-1, 4, 8, 8}}, Layout: record.Local})
		r, err := verify.Verify(context.Background(), open, efcn, verify.Options{Samples: 4})
		if err != nil || !r.Equal() {
			t.Errorf("%v: %v", height, err)
		}
		if d := open.Graph.Inputs[0].Type.Shape[2]; d != height {
			t.Errorf("the CNN was changed: %v", d)
		}
	}
}

// TestSkip: a check that is left out says so, and the rest decides.
func TestSkip(t *testing.T) {
	efcn := converted(t, mutable(), convert.Options{})
	edit(t, efcn, "conv1.weight", func(v []float32, _ []int64) { v[200*conv1Cols+255] = 1e-30 })
	r, err := verify.Verify(context.Background(), mutable(), efcn, verify.Options{Samples: 4, Skip: []string{verify.Structure}})
	if err != nil || !r.Equal() || r.Checks[0].Status != verify.Skipped {
		t.Errorf("%v: an entry of 1e-30 is below what running shows", err)
	}
	r, err = verify.Verify(context.Background(), mutable(), efcn, verify.Options{Samples: -1, Skip: []string{verify.Float64, verify.Float32}})
	if err != nil || r.Equal() {
		t.Errorf("%v: the structure alone shows it", err)
	}
	_, err = verify.Verify(context.Background(), mutable(), efcn, verify.Options{Skip: []string{verify.Structure, verify.Float64, verify.Float32}})
	if err == nil || err.Error() != "nothing was compared: structure: left out as asked; float64: left out as asked; float32: left out as asked" {
		t.Errorf("%v: nothing was checked, which is neither equality nor a difference", err)
	}
}

// TestCancel: an interrupted comparison ends with the context's error.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := verify.Verify(ctx, mutable(), mutable(), verify.Options{}); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("got %v", err)
	}
}

// An eFCN whose matrices are sparse initializers is the same as with Constants, and
// its faults are found as well.
func TestSparseInitializers(t *testing.T) {
	for _, fault := range []bool{false, true} {
		efcn, moved := converted(t, mutable(), convert.Options{Layout: record.Sparse}), 0
		efcn.Graph.Nodes = slices.DeleteFunc(efcn.Graph.Nodes, func(n *onnxio.Node) bool {
			if n.OpType != "Constant" {
				return false
			}
			s := *n.Attributes[0].Sparse
			values, err := onnxio.Floats[float32](s.Values)
			if err != nil {
				t.Fatal(err)
			}
			if fault {
				values[0]++
			}
			s.Values = onnxio.NewTensor(n.Outputs[0], s.Values.Dims, values)
			efcn.Graph.SparseInitializers = append(efcn.Graph.SparseInitializers, &s)
			moved++
			return true
		})
		r, err := verify.Verify(t.Context(), mutable(), efcn, verify.Options{Samples: 4})
		if err != nil {
			t.Fatal(err)
		}
		if moved == 0 || r.Equal() == fault {
			t.Errorf("%d matrices, fault %t: equal %t: %v", moved, fault, r.Equal(), r.Findings)
		}
	}
}
