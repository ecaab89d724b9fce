package record_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/internal/testnet"
	"efcn/convert/record"
	"efcn/onnxio"
)

// tied returns the entries that are tied in the matrix a of a CNN whose weights
// are all different: those of one output channel that are equal, and not zero.
func tied(a []float64, rows, cols, channels int) map[[2]float64][]int {
	classes := make(map[[2]float64][]int)
	for i, v := range a {
		if v != 0 {
			o := i / cols / (rows / channels)
			classes[[2]float64{float64(o), v}] = append(classes[[2]float64{float64(o), v}], i)
		}
	}
	return classes
}

// put replaces the weights of the only layer of an eFCN by the matrix w. Of the
// local form it takes the index table that the model has, which says which
// inputs of its group a slot reads.
func put(t *testing.T, efcn *onnxio.Model, w []float32, cols int) *onnxio.Model {
	t.Helper()
	rec, err := record.Read(efcn)
	if err != nil {
		t.Fatal(err)
	}
	l, m := rec.Layers[0], efcn.Clone()
	set := func(old *onnxio.Tensor, v []float32) *onnxio.Tensor { return onnxio.NewTensor(old.Name, old.Dims, v) }
	for _, n := range m.Graph.Nodes {
		for _, a := range n.Attributes {
			if a.Sparse == nil {
				continue
			}
			index, err := onnxio.Ints(a.Sparse.Indices)
			if err != nil {
				t.Fatal(err)
			}
			v := make([]float32, len(index))
			for i, at := range index {
				v[i] = w[at]
			}
			s := *a.Sparse
			s.Values = set(s.Values, v)
			a.Sparse = &s
			return m
		}
	}
	at := slices.IndexFunc(m.Graph.Initializers, func(t *onnxio.Tensor) bool { return t.Name == l.Weight })
	old := m.Graph.Initializers[at]
	if l.Layout == record.Dense {
		m.Graph.Initializers[at] = set(old, w)
		return m
	}
	table, err := onnxio.Ints(m.Graph.Initializer(l.Index))
	if err != nil {
		t.Fatal(err)
	}
	groups, positions, outs, slots := int(old.Dims[0]), int(old.Dims[1]), int(old.Dims[2]), int(old.Dims[3])
	v := make([]float32, 0, groups*positions*outs*slots)
	for g := range groups {
		for p := range positions {
			for o := range outs {
				for s := range slots {
					input := int(table[p*slots+s])
					if input == cols/groups { // the zero behind the block
						v = append(v, 0)
						continue
					}
					v = append(v, w[((g*outs+o)*positions+p)*cols+g*cols/groups+input])
				}
			}
		}
	}
	m.Graph.Initializers[at] = set(old, v)
	return m
}

// TestSubspace moves the weights of random layers at random and compares the
// deviation and the projection with the dense matrix, of which the ties are
// found by running the CNN on unit vectors. Projecting once more changes
// nothing.
func TestSubspace(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 4))
	ctx := context.Background()
	ran := 0
	for _, op := range []string{"Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "MatMul"} {
		for i := range 15 {
			cnn, shape, channels, bias := testnet.RandomLayer(rng, op)
			plain := cnn
			if bias {
				plain = cnn.Clone()
				plain.Graph.Nodes[0].Inputs = plain.Graph.Nodes[0].Inputs[:2]
			}
			if _, err := convert.NewPlan(cnn, convert.Options{}); err != nil {
				continue // pads that leave a transposed convolution nothing
			}
			rows, cols, a := testnet.MatrixOf(t, plain, shape)
			if rows == 0 {
				continue
			}
			ran++
			classes := tied(a, rows, cols, channels)
			inside := make([]float32, rows*cols) // the perturbed support
			for i, v := range a {
				if v != 0 {
					inside[i] = float32(v + 0.3*rng.NormFloat64())
				}
			}
			everywhere := slices.Clone(inside)
			for i, v := range a {
				if v == 0 {
					everywhere[i] = float32(0.1 * rng.NormFloat64())
				}
				if rng.IntN(4) == 0 { // as beta-lasso leaves them
					inside[i], everywhere[i] = 0, 0
				}
			}
			for _, layout := range testnet.Layouts {
				t.Run(fmt.Sprint(op, i, layout), func(t *testing.T) {
					w := inside
					if layout == record.Dense {
						w = everywhere
					}
					efcn := put(t, testnet.Embedded(t, cnn, convert.Options{Layout: layout}), w, cols)
					d, err := testnet.MeasuredFrom(ctx, efcn, cnn)
					if err != nil {
						t.Fatal(err)
					}
					nearest := make([]float64, len(w))
					for _, class := range classes {
						var sum float64
						for _, i := range class {
							sum += float64(w[i])
						}
						for _, i := range class {
							nearest[i] = sum / float64(len(class))
						}
					}
					var all, off, apart, from, norm float64
					counts := record.Counts{Entries: int64(len(w))}
					for i, v := range w {
						if a[i] != 0 {
							counts.Support++
						}
						if v != 0 {
							counts.NonZero++
						}
						if v != 0 && a[i] != 0 {
							counts.NonZeroLocal++
						}
						v, k := float64(v), float64(float32(a[i]))
						all += v * v
						apart += (v - nearest[i]) * (v - nearest[i])
						from, norm = from+(v-k)*(v-k), norm+k*k
						if a[i] == 0 {
							off += v * v
						}
					}
					near(t, "d", d.Distance, math.Sqrt(apart/max(all, 1e-300)), order)
					near(t, "s", d.OffLocal, math.Sqrt(off/max(all, 1e-300)), order)
					near(t, "distance from the CNN", *d.FromCNN, math.Sqrt(from/max(norm, 1e-300)), order)
					near(t, "norm", d.Layers[0].Norm, math.Sqrt(all), order)
					if d.Counts != counts || d.Layers[0].Counts != counts {
						t.Errorf("%+v and %+v entries, want %+v", d.Counts, d.Layers[0].Counts, counts)
					}

					once, reported := testnet.Project(t, efcn)
					near(t, "reported d", reported.Distance, d.Distance, order)
					function := once
					if bias { // the matrix is what it computes less what it makes of nothing
						function = once.Clone()
						function.Graph.Nodes[0].Inputs = function.Graph.Nodes[0].Inputs[:2]
					}
					_, _, p := testnet.MatrixOf(t, function, shape)
					for i := range p {
						near(t, fmt.Sprintf("entry %d of the projection", i), p[i], float64(float32(nearest[i])), rounding)
					}
					again := testnet.Embedded(t, once, convert.Options{Layout: layout})
					if d, err := testnet.MeasuredFrom(ctx, again, once); err != nil || d.Distance != 0 || d.OffLocal != 0 || *d.FromCNN != 0 {
						t.Errorf("the projection is %+v away from the subspace (%v)", d, err)
					}
					twice, _ := testnet.Project(t, again)
					for _, w := range once.Graph.Initializers {
						if w.Type == onnxio.Float32 && twice.Graph.Initializer(w.Name) != nil && !slices.Equal(testnet.Bits(t, twice, w.Name), testnet.Bits(t, once, w.Name)) {
							t.Errorf("%s of the projection of the projection is another one", w.Name)
						}
					}
					if op == "MatMul" && !slices.Equal(testnet.Ops(once), []string{"MatMul"}) {
						t.Errorf("the projection is %v", testnet.Ops(once))
					}
					if slices.Contains(testnet.Ops(once), "Conv") && once.Graph.Initializer("conv.weight") == nil && op == "Conv" {
						t.Error("the projection has no weights of its own name to compare")
					}
				})
			}
		}
	}
	if ran < 95 {
		t.Errorf("%d geometries ran, want 95 or more", ran)
	}
}

// What may lie between two numbers: another order of a sum in float64, and a
// mean that is rounded to float32 from a sum in another order.
const (
	order    = 1e-11
	rounding = 1.0 / (1 << 22)
)

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)+1e-14) {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// TestExportedMatrix compares what is exported of a layer, in every layout and
// format, with its matrix.
func TestExportedMatrix(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 15))
	ctx := context.Background()
	for i := range 20 {
		cnn, shape, _, _ := testnet.RandomLayer(rng, "Conv")
		plain := cnn.Clone()
		plain.Graph.Nodes[0].Inputs = plain.Graph.Nodes[0].Inputs[:2]
		rows, cols, want := testnet.MatrixOf(t, plain, shape)
		for _, layout := range testnet.Layouts {
			a, err := record.Open(testnet.Embedded(t, cnn, convert.Options{Layout: layout}), "conv")
			if err != nil {
				t.Fatal(err)
			}
			for _, mask := range []bool{false, true} {
				value := func(i int) float64 {
					if mask && want[i] != 0 {
						return 1
					}
					return want[i]
				}
				dense := a.Dense(ctx, mask)
				var flat []float64
				if mask {
					ints, err := onnxio.Ints(dense)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range ints {
						flat = append(flat, float64(v))
					}
				} else if flat, err = onnxio.Floats[float64](dense); err != nil {
					t.Fatal(err)
				}
				c, err := a.CSR(ctx, mask)
				if err != nil {
					t.Fatal(err)
				}
				full := expand(t, c)
				var text bytes.Buffer
				if err := a.WriteMatrixMarket(ctx, &text, mask); err != nil {
					t.Fatal(err)
				}
				market := parseMarket(t, text.String(), rows, cols)
				for j := range want {
					if flat[j] != value(j) || full[j] != value(j) || market[j] != value(j) {
						t.Fatalf("%d %s mask %v: entry %d is %v dense, %v in CSR, %v in Matrix Market; want %v", i, layout, mask, j, flat[j], full[j], market[j], value(j))
					}
				}
			}
		}
	}
}

func expand(t *testing.T, c *record.CSR) []float64 {
	t.Helper()
	indptr, err := onnxio.Ints(c.Indptr)
	if err != nil {
		t.Fatal(err)
	}
	indices, err := onnxio.Ints(c.Indices)
	if err != nil {
		t.Fatal(err)
	}
	data, err := onnxio.Floats[float64](c.Data)
	if err != nil {
		t.Fatal(err)
	}
	full := make([]float64, c.Rows*c.Cols)
	for r := range c.Rows {
		for k := indptr[r]; k < indptr[r+1]; k++ {
			full[r*c.Cols+indices[k]] = data[k]
		}
	}
	return full
}

func parseMarket(t *testing.T, text string, rows, cols int) []float64 {
	t.Helper()
	in := bytes.NewBufferString(text)
	header, _ := in.ReadString('\n')
	var r, c, n int
	if _, err := fmt.Fscan(in, &r, &c, &n); err != nil || r != rows || c != cols || header != "%%MatrixMarket matrix coordinate real general\n" {
		t.Fatalf("header %q, %d×%d (%v); want %d×%d", header, r, c, err, rows, cols)
	}
	full := make([]float64, rows*cols)
	for range n {
		var i, j int
		var v float64
		if _, err := fmt.Fscan(in, &i, &j, &v); err != nil {
			t.Fatal(err)
		}
		full[(i-1)*cols+j-1] = float64(float32(v))
	}
	return full
}
