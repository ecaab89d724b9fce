package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"efcn/internal/engine"
	"efcn/onnxio"
)

// TestStreamed: a layer whose weights are read in parts computes what the engine
// computes.
func TestStreamed(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	floats := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(random.IntN(64) - 32) // sums of products are exact
		}
		return v
	}
	tensor := func(shape ...int) *engine.Tensor[float64] {
		v := &engine.Tensor[float64]{Type: onnxio.Float32, Shape: shape, F: make([]float64, product(shape))}
		for i, x := range floats(len(v.F)) {
			v.F[i] = float64(x)
		}
		return v
	}
	tests := []struct {
		name string
		node *onnxio.Node
		w    *onnxio.Tensor
		x    *engine.Tensor[float64]
	}{
		{
			"gemm", &onnxio.Node{OpType: "Gemm", Inputs: []string{"x", "w", "b"}, Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)}},
			onnxio.NewTensor("w", []int64{7, 5}, floats(35)), tensor(3, 5),
		},
		{
			"gemm without bias", &onnxio.Node{OpType: "Gemm", Inputs: []string{"x", "w"}, Attributes: []*onnxio.Attribute{onnxio.IntAttr("transB", 1)}},
			onnxio.NewTensor("w", []int64{7, 5}, floats(35)), tensor(3, 5),
		},
		{
			"batched", &onnxio.Node{OpType: "MatMul", Inputs: []string{"w", "x"}},
			onnxio.NewTensor("w", []int64{2, 3, 4, 5}, floats(120)), tensor(2, 3, 5, 3),
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			c.node.Outputs = []string{"y"}
			bias := onnxio.NewTensor("b", []int64{7}, floats(7))
			m := &onnxio.Model{Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{Nodes: []*onnxio.Node{c.node}, Initializers: []*onnxio.Tensor{c.w, bias}}}
			n, err := newNet(m)
			if err != nil {
				t.Fatal(err)
			}
			other := &engine.Tensor[float64]{Type: c.x.Type, Shape: c.x.Shape, F: slices.Clone(c.x.F)}
			slices.Reverse(other.F)
			envs := []map[string]*engine.Tensor[float64]{{"x": c.x}, {"x": other}}
			want, err := newRunner[float64](n).node(t.Context(), c.node, envs)
			if err != nil {
				t.Fatal(err)
			}
			for held := int64(1); held < 120; held += 3 {
				r := newRunner[float64](n)
				r.held = held
				got, err := r.streamed(c.node, envs)
				if err != nil {
					t.Fatal(err)
				}
				if r.large("w") != (got != nil) {
					t.Fatalf("held %d: streamed %t", held, got != nil)
				}
				for k := range got {
					if want := want[k][0]; !slices.Equal(got[k].F, want.F) || !slices.Equal(got[k].Shape, want.Shape) {
						t.Fatalf("held %d: got %v, want %v", held, got[k], want)
					}
				}
			}
		})
	}
}

// TestBlocks: pieces of any size are put together.
func TestBlocks(t *testing.T) {
	var data []byte
	for i := range 12 {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
	}
	for piece := 1; piece < len(data); piece++ {
		next := 0
		err := eachBlock(inPieces(data, piece, 12), 3, 6, func(first int, block []float32) {
			if first*3 != next {
				t.Fatalf("pieces of %d: block at unit %d after %d elements", piece, first, next)
			}
			for _, v := range block {
				if v != float32(next) {
					t.Fatalf("pieces of %d: element %d is %v", piece, next, v)
				}
				next++
			}
		})
		if err != nil || next != 12 {
			t.Fatalf("pieces of %d: %d elements, %v", piece, next, err)
		}
	}
}

// TestDensified: a sparse matrix is made dense as it is read; indices that do not
// ascend are refused.
func TestDensified(t *testing.T) {
	sparse := func(indices ...int64) *onnxio.SparseTensor {
		values := make([]float32, len(indices))
		for i := range values {
			values[i] = float32(i + 1)
		}
		n := []int64{int64(len(indices))}
		return &onnxio.SparseTensor{Dims: []int64{2, 3}, Values: onnxio.NewTensor("w", n, values), Indices: onnxio.NewTensor("w.i", n, indices)}
	}
	for _, c := range []struct {
		indices []int64
		want    []float32
		err     string
	}{
		{[]int64{0, 4}, []float32{1, 0, 0, 0, 2, 0}, ""},
		{[]int64{5}, []float32{0, 0, 0, 0, 0, 1}, ""},
		{nil, []float32{0, 0, 0, 0, 0, 0}, ""},
		{[]int64{3, 3}, nil, "index 3 after 4 elements"},
		{[]int64{6}, nil, "index 6 after 0 elements"},
		{[]int64{-1}, nil, "index -1"},
	} {
		var b bytes.Buffer
		_, err := densified("w", sparse(c.indices...), 5).Data.WriteTo(&b)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: got %v, want %q", c.indices, err, c.err)
			}
		case err != nil:
			t.Error(err)
		default:
			got := make([]float32, 6)
			if err := binary.Read(&b, binary.LittleEndian, got); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v: got %v (%v), want %v", c.indices, got, err, c.want)
			}
		}
	}
	if densified("w", sparse(0), 6) != nil {
		t.Error("a small matrix is left to the engine")
	}
}

// TestMultiplyStored: a matrix that is stored as its non-zeros gives what the dense
// one gives.
func TestMultiplyStored(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		n, rows, cols := 1+random.IntN(4), 1+random.IntN(5), 1+random.IntN(6)
		whole := func(size int) []float64 { // sums of which are exact
			v := make([]float64, size)
			for i := range v {
				v[i] = float64(random.IntN(19) - 9)
			}
			return v
		}
		x, y, w := whole(n*cols), whole(n*rows), whole(rows*cols)
		var indices []int64
		var values []float32
		for i := range w {
			if random.IntN(3) > 0 {
				w[i] = 0
			} else {
				indices, values = append(indices, int64(i)), append(values, float32(w[i]))
			}
		}
		want := slices.Clone(y)
		for i := range n {
			for r := range rows {
				for c := range cols {
					want[i*rows+r] += w[r*cols+c] * x[i*cols+c]
				}
			}
		}
		size := []int64{int64(len(indices))}
		stored := &onnxio.SparseTensor{Dims: []int64{int64(rows), int64(cols)}, Values: onnxio.NewTensor("w", size, values), Indices: onnxio.NewTensor("w.i", size, indices)}
		if err := multiplyStored(stored, n, rows, cols, x, y); err != nil || !slices.Equal(y, want) {
			t.Fatalf("%d×%d of %d: got %v (%v), want %v", rows, cols, n, y, err, want)
		}
	}
	for _, indices := range [][]int64{{1, 1}, {2, 0}, {6}, {-1}} {
		size := []int64{int64(len(indices))}
		stored := &onnxio.SparseTensor{Dims: []int64{2, 3}, Values: onnxio.NewTensor("w", size, make([]float32, len(indices))), Indices: onnxio.NewTensor("w.i", size, indices)}
		if err := multiplyStored(stored, 1, 2, 3, make([]float64, 3), make([]float64, 2)); err == nil || !strings.Contains(err.Error(), "indices have to ascend") {
			t.Errorf("indices %v: %v", indices, err)
		}
	}
}

// TestMemory: batches become smaller where the memory does not allow for more,
// and a check that needs more at any size says so.
func TestMemory(t *testing.T) {
	ones := make([]float32, 9)
	cnn := &onnxio.Model{IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}}, Graph: &onnxio.Graph{
		Name: "g", Initializers: []*onnxio.Tensor{onnxio.NewTensor("w", []int64{1, 1, 3, 3}, ones)},
		Nodes:   []*onnxio.Node{{Name: "conv", OpType: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
		Inputs:  []*onnxio.ValueInfo{{Name: "x", Type: onnxio.TensorType{Elem: onnxio.Float32, HasShape: true, Shape: onnxio.Shape{onnxio.Symbol("N"), onnxio.Fixed(1), onnxio.Fixed(64), onnxio.Fixed(64)}}}},
		Outputs: []*onnxio.ValueInfo{{Name: "y", Type: onnxio.TensorType{Elem: onnxio.Float32}}},
	}}
	runs := 0
	o := Options{Samples: 8, MaxMemory: 337 << 20, Ran: func(_, _, _ []*onnxio.Tensor) error {
		runs++
		return nil
	}}
	r, err := Verify(context.Background(), cnn, cnn, o)
	if err != nil || !r.Equal() || runs != 1 {
		t.Errorf("%v, %d batches; want one", err, runs)
	}
	runs = 0
	o.Skip, o.MaxMemory = []string{Float64}, (keptElements+2*heldElements)*4+1<<20
	if r, err = Verify(context.Background(), cnn, cnn, o); err != nil || !r.Equal() || runs < 2 {
		t.Errorf("%v, %d batches; want more than one", err, runs)
	}
	o.Skip, o.MaxMemory = nil, 1<<20
	_, err = Verify(context.Background(), cnn, cnn, o)
	if err == nil || !strings.Contains(err.Error(), "nothing was compared: ") || !strings.Contains(err.Error(), "float64: it needs about 320.4 MiB of memory (320.0 MiB for weights, 450688 B a sample), more than the 1.0 MiB allowed") {
		t.Errorf("%v", err)
	}
}
