package verify_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/onnxio"
)

// productLayouts are those in which the mutations of products are made.
var productLayouts = []record.Layout{record.Dense, record.Sparse, record.Local}

// weights returns f for the stored weights of a layer in any layout that are not
// zero, in the order in which they are stored.
func weights(layout record.Layout, layer string, f func(v []float32)) func(t *testing.T, m *onnxio.Model) {
	return func(t *testing.T, m *onnxio.Model) {
		notZero := func(v []float32) {
			var picked []float32
			for _, k := range v {
				if k != 0 {
					picked = append(picked, k)
				}
			}
			f(picked)
			for i, k := range v {
				if k != 0 {
					v[i], picked = picked[0], picked[1:]
				}
			}
		}
		if layout == record.Sparse {
			editSparse(t, m, layer+".weight", func(v []float32, i []int64) ([]float32, []int64) {
				notZero(v)
				return v, i
			})
			return
		}
		edit(t, m, layer+".weight", func(v []float32, _ []int64) { notZero(v) })
	}
}

// sharedProductMutations is how many productMutations every layout has.
const sharedProductMutations = 15

// productMutations are those of a layout of mutable with all neighbours multiplied
// together and its MaxPool made of Relu.
func productMutations(layout record.Layout) []mutation {
	cells := "entry pool1/level1"
	if layout == record.Local {
		cells = "index pool1/level1"
	}
	all := []mutation{
		{
			// It is less than what rounding each entry once may do.
			name: "one entry of a product by one ulp", efcn: weights(layout, "conv2", func(v []float32) { ulp(v, 100) }),
			structure: "entry conv2",
		},
		{
			name: "one entry of a product by a hundredth", efcn: weights(layout, "conv2", func(v []float32) { v[100] *= 1.01 }),
			structure: "entry conv2", float64: "layer conv2", float32: "layer conv2",
		},
		{
			name: "two entries of a product swapped", efcn: weights(layout, "conv2", func(v []float32) { v[60], v[63] = v[63], v[60] }),
			structure: "entry conv2", float64: "layer conv2", float32: "layer conv2",
		},
		{
			name: "the bias of a product by two ulps",
			efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "conv2.bias", func(v []float32, _ []int64) { ulp(v, 17); ulp(v, 17) })
			},
			structure: "bias", text: "(row 17",
		},
		{
			name: "the sign of an entry of a level", efcn: weights(layout, "pool1/level1", func(v []float32) { v[1] = -v[1] }),
			structure: "entry pool1/level1", float64: "layer conv2", float32: "layer conv2", text: "want -1 (0xbf800000), got 1",
		},
		{
			name: "one entry of a level by one ulp", efcn: weights(layout, "pool1/level2", func(v []float32) { ulp(v, 20) }),
			structure: "entry pool1/level2", text: "want 1 (0x3f800000), got 1.0000001",
		},
		{
			name: "the Relu of a level removed",
			efcn: func(t *testing.T, m *onnxio.Model) {
				m.Graph.Nodes = slices.DeleteFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.Name == "pool1/level1/Relu" })
				for _, n := range m.Graph.Nodes {
					for i, in := range n.Inputs {
						if in == "pool1_out/level1/relu" {
							n.Inputs[i] = "pool1_out/level1"
						}
					}
				}
			},
			structure: "node", float64: "layer conv2", float32: "layer conv2", text: "which no Relu computes",
		},
		{
			name: "the window of the CNN's MaxPool",
			cnn: func(t *testing.T, m *onnxio.Model) {
				set(nodeOf(t, m, "pool1"), onnxio.IntsAttr("kernel_shape", 1, 2))
			},
			structure: "record pool1", float64: "layer conv2", float32: "layer conv2", text: "the record names level 1 of 3 of it; it takes 2",
		},
		{
			name: "the cells of the CNN's windows",
			cnn: func(t *testing.T, m *onnxio.Model) {
				// As many windows, of as many cells, but others.
				set(nodeOf(t, m, "pool1"), onnxio.IntsAttr("strides", 2, 1))
				set(nodeOf(t, m, "pool1"), onnxio.IntsAttr("dilations", 1, 5))
			},
			structure: cells, float64: "layer conv2", float32: "layer conv2",
		},
		{
			name: "the Relu of the CNN before its MaxPool",
			cnn:  func(t *testing.T, m *onnxio.Model) { nodeOf(t, m, "relu1").OpType = "Neg" },
			// What may be negative has to be passed on in two parts.
			structure: "node", float64: "layer relu1", float32: "layer relu1",
		},
		{
			name: "the scale of a factor",
			cnn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "bn2_gamma", func(v []float32, _ []int64) { ulp(v, 2); ulp(v, 2) })
			},
			structure: "entry conv2",
		},
		{
			name: "the pads of a factor",
			cnn: func(t *testing.T, m *onnxio.Model) {
				set(nodeOf(t, m, "conv2"), onnxio.IntsAttr("pads", 0, 1, 2, 1))
			},
			structure: "entry conv2", float64: "layer conv2", float32: "layer conv2",
		},
		{
			name: "a record without one of the factors",
			efcn: func(t *testing.T, m *onnxio.Model) {
				editRecord(t, m, func(r *record.Record) { r.Layers[3].Factors = slices.Delete(r.Layers[3].Factors, 1, 2) })
			},
			structure: "entry conv2",
		},
		{
			name: "a record without one of the levels",
			efcn: func(t *testing.T, m *onnxio.Model) {
				editRecord(t, m, func(r *record.Record) { r.Layers = slices.Delete(r.Layers, 1, 2) })
			},
			structure: "record pool1", text: "no layer stands for level 1 of it",
		},
		{
			name: "a record with factors in another order",
			efcn: func(t *testing.T, m *onnxio.Model) {
				editRecord(t, m, func(r *record.Record) {
					f := r.Layers[3].Factors
					f[1], f[2] = f[2], f[1]
				})
			},
			structure: "record",
		},
	}
	switch layout {
	case record.Dense:
		return append(all, mutation{
			name: "an entry outside the support of a product",
			efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "conv2.weight", func(v []float32, dims []int64) { v[dims[1]-1] = 1e-30 })
			},
			structure: "entry conv2", text: "want 0 (0x00000000), got 1e-30",
		}, mutation{
			name: "two units of a level swapped",
			efcn: func(t *testing.T, m *onnxio.Model) {
				edit(t, m, "pool1/level1.weight", func(v []float32, dims []int64) { swapRuns(v, 0, 2*int(dims[1]), int(dims[1])) })
			},
			structure: "entry pool1/level1", float64: "layer conv2", float32: "layer conv2", text: "(row 0,",
		})
	case record.Sparse:
		return append(all, mutation{
			name: "an entry of a product left out",
			efcn: func(t *testing.T, m *onnxio.Model) {
				editSparse(t, m, "conv2.weight", func(v []float32, i []int64) ([]float32, []int64) {
					return slices.Delete(v, 50, 51), slices.Delete(i, 50, 51)
				})
			},
			structure: "entry conv2", float64: "layer conv2", float32: "layer conv2", text: "is missing",
		})
	default:
		return append(all, mutation{
			name: "an input that no output of its position needs",
			efcn: func(t *testing.T, m *onnxio.Model) {
				gather := gatherOf(t, m, "conv2")
				editInts(t, m, gather.Input(1), func(v, _ []int64) {
					free := slices.Max(v) // the zero behind the block
					v[slices.Index(v, free)] = free - 1
				})
			},
			structure: "index conv2", text: "which no output of the position needs",
		})
	}
}

// TestProductMutations: as TestMutations, of products and of maxima made of Relu.
func TestProductMutations(t *testing.T) {
	ran := 0
	for _, layout := range productLayouts {
		base := converted(t, mutable(), convert.Options{Layout: layout, Fold: convert.FoldAll, MaxPool: convert.MaxPoolRelu})
		r, err := verify.Verify(context.Background(), mutable(), base, verify.Options{})
		if err != nil || !r.Equal() {
			t.Fatal("the eFCN is not equal before it is changed", err, r.Findings)
		}
		for _, c := range productMutations(layout) {
			ran++
			t.Run(fmt.Sprint(layout, " ", c.name), func(t *testing.T) { c.test(t, mutable(), base.Clone()) })
		}
	}
	if want := 3*sharedProductMutations + 4; ran != want {
		t.Errorf("%d ran, have had %d", ran, want)
	}
}
