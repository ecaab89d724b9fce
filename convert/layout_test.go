package convert_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/onnxio"
)

// TestLayouts runs random convolutions in every layout: on the same input they
// differ by the order of float64 sums only.
func TestLayouts(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for i := range 60 {
		group, in, out := 1+rng.Int64N(3), 1+rng.Int64N(3), 1+rng.Int64N(3)
		axes := 1 + rng.IntN(3)
		shape, kernel := []int64{group * in}, []int64{group * out, in}
		var strides, dilations, begins, ends []int64
		for range axes {
			k, d := 1+rng.Int64N(3), 1+rng.Int64N(2)
			shape, kernel = append(shape, (k-1)*d+1+rng.Int64N(4)), append(kernel, k)
			strides, dilations = append(strides, 1+rng.Int64N(2)), append(dilations, d)
			begins, ends = append(begins, rng.Int64N(3)), append(ends, rng.Int64N(3))
		}
		inputs, inits := "x w", []*onnxio.Tensor{floats("w", rng, kernel...)}
		if rng.IntN(2) == 0 {
			inputs, inits = "x w b", append(inits, floats("b", rng, group*out))
		}
		conv := node("Conv", inputs, "y", onnxio.IntAttr("group", group), onnxio.IntsAttr("strides", strides...),
			onnxio.IntsAttr("dilations", dilations...), onnxio.IntsAttr("pads", slices.Concat(begins, ends)...))
		cnn := small(17, shape, inits, conv)
		x := randomInput(rng, 3, shape)
		want := run(t, cnn, x)["y"]
		for _, layout := range []record.Layout{record.Dense, record.Sparse, record.Local, record.Keep} {
			t.Run(fmt.Sprint(i, layout), func(t *testing.T) {
				efcn := written(t, cnn, convert.Options{Layout: layout})
				got := run(t, efcn, x)["y"]
				if !slices.Equal(got.Shape, want.Shape) {
					t.Fatalf("shape %v, want %v", got.Shape, want.Shape)
				}
				for j := range want.F {
					if !(math.Abs(got.F[j]-want.F[j]) <= 1e-12*(1+math.Abs(want.F[j]))) {
						t.Fatalf("output %d is %v, want %v", j, got.F[j], want.F[j])
					}
				}
			})
		}
	}
}

// TestChoice checks which layouts the options and the budget lead to.
func TestChoice(t *testing.T) {
	cnn := readFolded(t, "lenet-torchscript") // dense: 14,450,688 and 10,616,832 bytes
	tests := []struct {
		name string
		opts convert.Options
		want string
		err  string
	}{
		{name: "default", want: "dense dense dense"},
		{name: "budget for one", opts: convert.Options{MaxBytes: 14 << 20}, want: "local dense dense"},
		{name: "budget for none", opts: convert.Options{MaxBytes: 4 << 20}, want: "local local dense"},
		{name: "all sparse", opts: convert.Options{Layout: record.Sparse}, want: "sparse sparse dense"},
		{name: "one of its own", opts: convert.Options{Layout: record.Local, Layers: map[string]record.Layout{"/conv2/Conv": record.Sparse}}, want: "local sparse dense"},
		{name: "one kept", opts: convert.Options{Layers: map[string]record.Layout{"/conv1/Conv": record.Keep}}, want: "dense dense"},
		{name: "only one", opts: convert.Options{Only: "*conv2*"}, want: "dense dense"},
		{name: "none of that name", opts: convert.Options{Layers: map[string]record.Layout{"conv3": record.Local}}, err: `layer "conv3"`},
		{name: "one without a matrix", opts: convert.Options{Layers: map[string]record.Layout{"/pool/MaxPool": record.Local}}, err: `layer "/pool/MaxPool": layout local: it has no matrix (a maximum is not linear); leave the layout out`},
		{name: "one without a matrix, kept", opts: convert.Options{Layers: map[string]record.Layout{"/pool/MaxPool": record.Keep}}, want: "dense dense dense"},
		{name: "only none", opts: convert.Options{Only: "conv2"}, err: `no layer's name fits "conv2"; they are ["/fc/Gemm" "/conv1/Conv" "/conv2/Conv"]`},
		{name: "no such layout", opts: convert.Options{Layout: "thin"}, err: `layout "thin"`},
		{name: "a matrix of the CNN", opts: convert.Options{Layers: map[string]record.Layout{"/fc/Gemm": record.Local}}, err: "stays dense"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, err := convert.NewPlan(cnn, test.opts)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range plan.Layers {
				got = append(got, string(l.Layout))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("layouts %v, want %s", got, test.want)
			}
			if err := plan.CheckBudget(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTables checks that layers of equal geometry share their index table, and
// that tables of the same numbers in another shape stay apart.
func TestTables(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	conv := func(name, w, in, out string, group int64) *onnxio.Node {
		n := node("Conv", in+" "+w, out, onnxio.IntsAttr("pads", 1, 1), onnxio.IntAttr("group", group))
		n.Name = name
		return n
	}
	cnn := small(17, []int64{4, 6}, []*onnxio.Tensor{floats("w", rng, 4, 4, 3), floats("v", rng, 4, 4, 3), floats("u", rng, 4, 1, 3)},
		conv("a", "w", "x", "a", 1), conv("b", "v", "a", "b", 1), conv("c", "u", "b", "y", 4))
	efcn := written(t, cnn, convert.Options{Layout: record.Local})
	rec, err := record.Read(efcn)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := rec.Layers[0].Index, rec.Layers[1].Index, rec.Layers[2].Index
	if a != b || a == c {
		t.Errorf("tables %q, %q and %q; want the first two shared", a, b, c)
	}

	// One position that sees six inputs, and six that see one each.
	cnn = small(17, []int64{1, 6}, []*onnxio.Tensor{floats("w", rng, 1, 1, 6), floats("v", rng, 1, 1, 1)},
		node("Conv", "x w", "y"), node("Conv", "x v", "z"))
	cnn.Graph.Outputs = append(cnn.Graph.Outputs, &onnxio.ValueInfo{Name: "y", Type: onnxio.TensorType{Elem: onnxio.Float32}})
	cnn.Graph.Nodes[1].Name = "other"
	efcn = written(t, cnn, convert.Options{Layout: record.Local})
	for _, name := range []string{"conv.index", "other.index"} {
		if table := efcn.Graph.Initializer(name); table == nil {
			t.Errorf("no table %q", name)
		}
	}
}
