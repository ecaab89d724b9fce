package verify_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// inputNode returns the node that computes input i of a node.
func inputNode(t *testing.T, m *onnxio.Model, n *onnxio.Node, i int) *onnxio.Node {
	t.Helper()
	for _, p := range m.Graph.Nodes {
		if slices.Contains(p.Outputs, n.Input(i)) {
			return p
		}
	}
	t.Fatalf("nothing computes input %d of %q", i, n.Name)
	return nil
}

// userOf returns the node that takes what a node computes.
func userOf(t *testing.T, m *onnxio.Model, n *onnxio.Node) *onnxio.Node {
	t.Helper()
	for _, u := range m.Graph.Nodes {
		if slices.Contains(u.Inputs, n.Output(0)) {
			return u
		}
	}
	t.Fatalf("nothing takes what %q computes", n.Name)
	return nil
}

// gatherOf returns the Gather of a layer in local form.
func gatherOf(t *testing.T, m *onnxio.Model, layer string) *onnxio.Node {
	t.Helper()
	return inputNode(t, m, nodeOf(t, m, layer), 1)
}

// editInts replaces the elements of an int64 initializer.
func editInts(t *testing.T, m *onnxio.Model, name string, f func(v []int64, dims []int64)) {
	t.Helper()
	for i, init := range m.Graph.Initializers {
		if init.Name != name {
			continue
		}
		v, err := onnxio.Ints(init)
		if err != nil {
			t.Fatal(err)
		}
		v = slices.Clone(v)
		f(v, init.Dims)
		m.Graph.Initializers[i] = onnxio.NewTensor(name, init.Dims, v)
		return
	}
	t.Fatalf("no initializer %q", name)
}

// editSparse replaces the values and indices of a sparse constant.
func editSparse(t *testing.T, m *onnxio.Model, name string, f func(values []float32, indices []int64) ([]float32, []int64)) {
	t.Helper()
	for _, n := range m.Graph.Nodes {
		if n.OpType != "Constant" || n.Output(0) != name {
			continue
		}
		old := n.Attr("sparse_value").Sparse
		values, err := onnxio.Floats[float32](old.Values)
		if err != nil {
			t.Fatal(err)
		}
		indices, err := onnxio.Ints(old.Indices)
		if err != nil {
			t.Fatal(err)
		}
		values, indices = f(slices.Clone(values), slices.Clone(indices))
		size := []int64{int64(len(values))}
		set(n, &onnxio.Attribute{Name: "sparse_value", Type: onnxio.AttrSparseTensor, Sparse: &onnxio.SparseTensor{
			Dims: old.Dims, Values: onnxio.NewTensor(name, size, values), Indices: onnxio.NewTensor(name+".indices", size, indices),
		}})
		return
	}
	t.Fatalf("no sparse constant %q", name)
}

// Slots of conv1 and conv2 in local form: channels of a group × taps.
const (
	conv1Slots = 2 * 9
	conv2Slots = 6 * 9
)

// layoutMutations are those of what only one layout has.
var layoutMutations = []struct {
	layout record.Layout
	mutation
}{
	{record.Sparse, mutation{
		name: "one weight by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				ulp(v, 777)
				return v, i
			})
		},
		structure: "entry conv2", float64: "layer conv2", text: "1 entries are wrong",
	}},
	{record.Sparse, mutation{
		name: "two weights swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				v[20], v[21] = v[21], v[20]
				return v, i
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "2 entries are wrong",
	}},
	{record.Sparse, mutation{
		name: "a tap moved by one column",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				for k := range i {
					if i[k+1] > i[k]+1 {
						i[k]++
						return v, i
					}
				}
				return v, i
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "is outside the support: want nothing",
	}},
	{record.Sparse, mutation{
		name: "all indices shifted by one",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				for k := range i {
					i[k] = max(0, i[k]-1)
				}
				return v, i
			})
		},
		structure: "index conv2", float64: "layer conv2", float32: "layer conv2", text: "index 1 of the sparse matrix is 0, after 0; they have to ascend",
	}},
	{record.Sparse, mutation{
		name: "values shifted by one element against their indices",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				copy(v[1:], v)
				return v, i
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2",
	}},
	{record.Sparse, mutation{
		name: "an entry left out",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				return slices.Delete(v, 400, 401), slices.Delete(i, 400, 401)
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "is missing: want",
	}},
	{record.Sparse, mutation{
		name: "a zero outside the support",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				at := slices.IndexFunc(i[1:], func(k int64) bool { return !slices.Contains(i, k-1) }) + 1
				return slices.Insert(v, at, 0), slices.Insert(i, at, i[at]-1)
			})
		},
		structure: "entry conv2", text: "is outside the support: want nothing, got 0 (0x00000000)",
	}},
	{record.Sparse, mutation{
		name: "two indices out of order",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
				i[5], i[6], v[5], v[6] = i[6], i[5], v[6], v[5]
				return v, i
			})
		},
		structure: "index conv2", text: "index 6 of the sparse matrix",
	}},
	{record.Sparse, mutation{
		name: "a bias dropped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2")
			n.Inputs = n.Inputs[:2]
		},
		structure: "bias conv2", float64: "layer conv2", float32: "layer conv2", text: "is missing",
	}},
	{record.Sparse, mutation{
		name: "another number of rows",
		efcn: func(t *testing.T, m *onnxio.Model) {
			for _, n := range m.Graph.Nodes {
				if n.Output(0) == "conv2.weight" {
					s := *n.Attr("sparse_value").Sparse
					s.Dims = []int64{s.Dims[1], s.Dims[0]}
					set(n, &onnxio.Attribute{Name: "sparse_value", Type: onnxio.AttrSparseTensor, Sparse: &s})
					set(nodeOf(t, m, "conv2"), onnxio.IntAttr("transB", 0))
				}
			}
		},
		structure: "attribute conv2", float64: "layer conv2", float32: "layer conv2", text: "transB: want 1",
	}},

	{record.Sparse, mutation{
		name: "two rows swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			moveSparse(t, m, "conv2.weight", func(row, col int64) (int64, int64) { return swap(row, 5, 6), col }, 120)
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "(row 5,",
	}},
	{record.Sparse, mutation{
		name: "two columns swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			moveSparse(t, m, "conv2.weight", func(row, col int64) (int64, int64) { return row, swap(col, 8, 9) }, 120)
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "column 8",
	}},
	{record.Sparse, mutation{
		name: "two groups permuted",
		efcn: func(t *testing.T, m *onnxio.Model) {
			moveSparse(t, m, "conv1.weight", func(row, col int64) (int64, int64) { return row, (col + conv1Cols/2) % conv1Cols }, conv1Cols)
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1",
	}},
	{record.Sparse, mutation{
		name: "a bias by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.bias", func(v []float32, _ []int64) { ulp(v, 17) })
		},
		structure: "bias conv2", float64: "layer conv2", text: "(row 17",
	}},
	{record.Sparse, mutation{
		name: "external data shifted by one element", efcn: shiftedData,
		structure: "bias conv1", float64: "layer bn1", float32: "layer bn1", text: "(row 79",
	}},

	{record.Local, mutation{
		name: "one weight by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, dims []int64) {
				// group 1, position (4,5) of 8×10, out channel 2, slot 7
				ulp(v, ((1*80+45)*3+2)*conv1Slots+7)
			})
		},
		structure: "entry conv1", float64: "layer bn1", text: "weight of group 1, position [4 5], slot 7, out channel 2, entry of output [5 4 5] and input [2 6 5]",
	}},
	{record.Local, mutation{
		name: "two outputs of a position swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, _ []int64) {
				a, b := v[5*4*conv2Slots:][:conv2Slots], v[(5*4+1)*conv2Slots:][:conv2Slots]
				for i := range a {
					a[i], b[i] = b[i], a[i]
				}
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "weight of group 0, position [1 1], slot 0, out channel 0",
	}},
	{record.Local, mutation{
		name: "two slots of the weights swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, _ []int64) {
				for i := range len(v) / conv2Slots {
					v[i*conv2Slots], v[i*conv2Slots+1] = v[i*conv2Slots+1], v[i*conv2Slots]
				}
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2",
	}},
	{record.Local, mutation{
		name: "an index table entry changed to another input of the window",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, gatherOf(t, m, "conv2").Input(1), func(v, _ []int64) { v[5*conv2Slots+4] = v[5*conv2Slots+3] })
		},
		structure: "index conv2", float64: "layer conv2", float32: "layer conv2", text: "position [1 1], slot 4 reads element",
	}},
	{record.Local, mutation{
		name: "an index table entry changed to an input outside the window",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, gatherOf(t, m, "conv2").Input(1), func(v, _ []int64) { v[5*conv2Slots+4] = 119 })
		},
		structure: "index conv2", float64: "layer conv2", float32: "layer conv2", text: "reads the input of entry output [0 1 1] and input [5",
	}},
	{record.Local, mutation{
		name: "an index table entry out of range",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, gatherOf(t, m, "conv2").Input(1), func(v, _ []int64) { v[5*conv2Slots+4] = -1 })
		},
		structure: "index conv2", float64: "layer conv2", float32: "layer conv2", text: "position 5, slot 4",
	}},
	{record.Local, mutation{
		name: "a tap read where there is padding",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, gatherOf(t, m, "conv2").Input(1), func(v, _ []int64) {
				if v[5] != 120 {
					t.Fatalf("slot 5 of position 0 reads %d, want the padding", v[5])
				}
				v[5] = 119
			})
		},
		// The weight is 0, so nothing that runs can tell.
		structure: "index conv2", text: "is outside the support: got 0",
	}},
	{record.Local, mutation{
		name: "the weight of a slot that reads padding",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, _ []int64) { v[5] = 1 })
		},
		structure: "padding conv2", text: "group 0, position [0 0], slot 5, out channel 0, which reads the padding's zero: want 0 (0x00000000), got 1",
	}},
	{record.Local, mutation{
		name: "a negative zero in a slot that reads padding",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, _ []int64) { v[5] = float32(math.Copysign(0, -1)) })
		},
		structure: "padding conv2", text: "got -0 (0x80000000)",
	}},
	{record.Local, mutation{
		name: "a bias dropped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2")
			flat := userOf(t, m, userOf(t, m, n))
			sum := userOf(t, m, flat)
			flat.Outputs = slices.Clone(sum.Outputs)
			m.Graph.Nodes = slices.DeleteFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n == sum })
		},
		structure: "bias conv2", float64: "layer conv2", float32: "layer conv2", text: "is missing",
	}},
	{record.Local, mutation{
		name: "a bias by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.bias", func(v []float32, _ []int64) { ulp(v, 17) })
		},
		structure: "bias", float64: "layer conv2", text: "(row 17",
	}},
	{record.Local, mutation{
		name: "a wrong batch stride",
		efcn: func(t *testing.T, m *onnxio.Model) {
			pad := inputNode(t, m, gatherOf(t, m, "conv2"), 0)
			transposed := inputNode(t, m, pad, 0)
			// [N, 1, 120] read as [120, 1, N]: as long as N is 120, of the same shape.
			set(transposed, onnxio.IntsAttr("perm", 1, 0, 2))
			shape := inputNode(t, m, transposed, 0).Input(1)
			editInts(t, m, shape, func(v, _ []int64) { v[0], v[1], v[2] = 120, 1, -1 })
		},
		structure: "attribute", float64: "layer conv2", float32: "layer conv2", text: "perm: want [1 2 0], got [1 0 2]",
	}},
	{record.Local, mutation{
		name: "the axes of the product in another order",
		efcn: func(t *testing.T, m *onnxio.Model) {
			set(userOf(t, m, nodeOf(t, m, "conv1")), onnxio.IntsAttr("perm", 3, 0, 1, 2))
		},
		structure: "attribute", float64: "layer bn1", float32: "layer bn1", text: "perm: want [3 0 2 1], got [3 0 1 2]",
	}},
	{record.Local, mutation{
		name: "padding with another number than zero",
		efcn: func(t *testing.T, m *onnxio.Model) {
			pad := inputNode(t, m, gatherOf(t, m, "conv2"), 0)
			edit(t, m, pad.Input(2), func(v []float32, _ []int64) { v[0] = 1e-30 })
		},
		structure: "padding", text: "it pads with 1e-30",
	}},
	{record.Local, mutation{
		name: "the zero in front of each block",
		efcn: func(t *testing.T, m *onnxio.Model) {
			pad := inputNode(t, m, gatherOf(t, m, "conv2"), 0)
			editInts(t, m, pad.Input(1), func(v, _ []int64) { v[1], v[4] = 1, 0 })
		},
		structure: "attribute", float64: "layer conv2", float32: "layer conv2", text: "pads: want [0 0 0 0 1 0], got [0 1 0 0 0 0]",
	}},
	{record.Local, mutation{
		name: "the input of another layer",
		efcn: func(t *testing.T, m *onnxio.Model) {
			pad := inputNode(t, m, gatherOf(t, m, "conv2"), 0)
			reshape := inputNode(t, m, inputNode(t, m, pad, 0), 0)
			reshape.Inputs[0] = "trans1_out"
		},
		structure: "node", float64: "layer conv2", float32: "layer conv2", text: `its input 0 is "trans1_out"; in the CNN it is "bn2_out"`,
	}},
	{record.Local, mutation{
		name: "two groups permuted",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv1.weight", func(v []float32, _ []int64) {
				half := len(v) / 2
				for i := range half {
					v[i], v[half+i] = v[half+i], v[i]
				}
			})
		},
		structure: "entry conv1", float64: "layer bn1", float32: "layer bn1", text: "group 0, position [0 0]",
	}},
	{record.Local, mutation{
		name: "the weights shifted by one element",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, _ []int64) { copy(v[1:], v) })
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2",
	}},
	{record.Local, mutation{
		name: "a tap moved by one slot",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "conv2.weight", func(v []float32, _ []int64) {
				i := 5*4*conv2Slots + 10 // position (1,1), where all slots read inputs
				v[i], v[i+1] = v[i+1], v[i]
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "position [1 1], slot 1",
	}},
	{record.Local, mutation{
		name: "an index table entry past the block",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, gatherOf(t, m, "conv2").Input(1), func(v, _ []int64) { v[5*conv2Slots+4] = 121 })
		},
		structure: "index conv2", float64: "run conv2_out/seen/Gather", float32: "run conv2_out/seen/Gather", text: "position 5, slot 4",
	}},
	{record.Local, mutation{
		// The tables of indices are in it too.
		name: "external data shifted by one element", efcn: shiftedData,
		structure: "index conv1", float64: "run", float32: "run",
	}},
	{record.Local, mutation{
		name: "a record of another layout",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editRecord(t, m, func(r *record.Record) { r.Layers[0].Layout = record.Dense })
		},
		structure: "record", text: "the record says dense with weight",
	}},

	{record.Keep, mutation{
		name: "one weight by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "w2", func(v []float32, _ []int64) { ulp(v, 77) })
		},
		structure: "entry conv2", float64: "layer conv2", text: "element 77 of \"w2\"",
	}},
	{record.Keep, mutation{
		name: "two filters swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "w2", func(v []float32, _ []int64) { swapRuns(v, 0, 54, 54) })
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "element 0 of \"w2\"",
	}},
	{record.Keep, mutation{
		name: "two input channels swapped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "w2", func(v []float32, _ []int64) {
				for o := range 4 {
					swapRuns(v[54*o:], 9, 18, 9)
				}
			})
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "element 9 of \"w2\"",
	}},
	{record.Keep, mutation{
		name: "a tap moved by one",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "w2", func(v []float32, _ []int64) { v[40], v[41] = v[41], v[40] })
		},
		structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "element 40 of \"w2\"",
	}},
	{record.Keep, mutation{
		name: "a bias dropped",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv2")
			n.Inputs = n.Inputs[:2]
		},
		structure: "bias conv2", float64: "layer conv2", float32: "layer conv2", text: "input 2 is \"\"; in the CNN it is \"b2\"",
	}},
	{record.Keep, mutation{
		name: "a bias by one ulp",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "b2", func(v []float32, _ []int64) { ulp(v, 3) })
		},
		structure: "entry conv2", float64: "layer conv2", text: "element 3 of \"b2\"",
	}},
	{record.Keep, mutation{
		name: "the pads shifted by one",
		efcn: func(t *testing.T, m *onnxio.Model) {
			set(nodeOf(t, m, "conv1"), onnxio.IntsAttr("pads", 2, 2, 2, 2))
		},
		structure: "attribute conv1", float64: "layer conv1", float32: "layer conv1", text: "attribute pads is [2 2 2 2]; in the CNN it is [2 1 2 3]",
	}},
	{record.Keep, mutation{
		name: "a dilation ignored",
		efcn: func(t *testing.T, m *onnxio.Model) {
			n := nodeOf(t, m, "conv1")
			set(n, onnxio.IntsAttr("dilations", 1, 1))
			set(n, onnxio.IntsAttr("pads", 1, 1, 1, 3))
		},
		structure: "attribute conv1", float64: "layer conv1", float32: "layer conv1",
	}},
	{record.Keep, mutation{
		name: "the groups permuted",
		efcn: func(t *testing.T, m *onnxio.Model) {
			edit(t, m, "w1", func(v []float32, _ []int64) { swapRuns(v, 0, len(v)/2, len(v)/2) })
		},
		structure: "entry conv1", float64: "layer conv1", float32: "layer conv1", text: "element 0 of \"w1\"",
	}},
	{record.Keep, mutation{
		name: "an index table entry changed",
		efcn: func(t *testing.T, m *onnxio.Model) {
			editInts(t, m, nodeOf(t, m, "trans1").Input(1), func(v, _ []int64) { v[33] = v[34] })
		},
		structure: "index trans1", float64: "layer trans1", float32: "layer trans1", text: "(element 33 of",
	}},
	{record.Keep, mutation{
		name: "external data shifted by one element", efcn: shiftedData,
		structure: "entry bn1/mul", float64: "layer bn1", float32: "layer bn1",
	}},
}

// swapRuns exchanges n elements from a on with those from b on.
func swapRuns(v []float32, a, b, n int) {
	for i := range n {
		v[a+i], v[b+i] = v[b+i], v[a+i]
	}
}

// swap returns b for a, a for b, and what else there is as it is.
func swap(v, a, b int64) int64 {
	switch v {
	case a:
		return b
	case b:
		return a
	default:
		return v
	}
}

// moveSparse moves the entries of a sparse matrix of cols columns and puts them
// in order again.
func moveSparse(t *testing.T, m *onnxio.Model, name string, to func(row, col int64) (int64, int64), cols int64) {
	t.Helper()
	editSparse(t, m, name, func(v []float32, indices []int64) ([]float32, []int64) {
		at := make(map[int64]float32)
		for k, i := range indices {
			row, col := to(i/cols, i%cols)
			at[row*cols+col] = v[k]
		}
		indices = slices.Sorted(maps.Keys(at))
		for k, i := range indices {
			v[k] = at[i]
		}
		return v, indices
	})
}

// TestLayoutMutations: as TestMutations, of what a layout has of its own.
func TestLayoutMutations(t *testing.T) {
	bases := make(map[record.Layout]*onnxio.Model)
	for _, layout := range []record.Layout{record.Sparse, record.Local, record.Keep} {
		bases[layout] = converted(t, mutable(), convert.Options{Layout: layout})
		r, err := verify.Verify(context.Background(), mutable(), bases[layout], verify.Options{})
		if err != nil || !r.Equal() {
			t.Fatal("the eFCN is not equal before it is changed", err, r.Findings)
		}
	}
	for _, c := range layoutMutations {
		t.Run(fmt.Sprint(c.layout, " ", c.name), func(t *testing.T) {
			c.test(t, mutable(), bases[c.layout].Clone())
		})
	}
	if len(layoutMutations) != 48 {
		t.Errorf("%d mutations, the table has had 48", len(layoutMutations))
	}
}

// TestMutationsOfAnyLayout: faults of the CNN's attributes and of what lies
// between the layers are found whatever the layout of the layers.
func TestMutationsOfAnyLayout(t *testing.T) {
	ran := 0
	for layout, base := range map[record.Layout]*onnxio.Model{
		record.Sparse:   converted(t, mutable(), convert.Options{Layout: record.Sparse}),
		record.Local:    converted(t, mutable(), convert.Options{Layout: record.Local}),
		record.Factored: factoredBase(t),
	} {
		for _, c := range mutations {
			if !c.anyLayout {
				continue
			}
			ran++
			t.Run(fmt.Sprint(layout, " ", c.name), func(t *testing.T) {
				kind, node, _ := strings.Cut(c.structure, " ")
				if c.structure, c.text = node, ""; kind == "bias" {
					c.structure = kind // a node of its own adds it
				}
				c.test(t, mutable(), base.Clone())
			})
		}
	}
	if ran != 3*19 {
		t.Errorf("%d ran, have had %d", ran, 3*19)
	}
}
