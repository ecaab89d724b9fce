package shape_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// TestMutations gives the node tests numbers that no model should have. What
// comes out does not matter; that it comes back does, and that sizes are sizes.
func TestMutations(t *testing.T) {
	var cases []struct {
		Name  string
		Model []byte
	}
	load(t, "node_cases.json.gz", &cases)
	rng := rand.New(rand.NewPCG(1, 2))
	odd := []int64{-2, -1, 0, 1, 2, 3, 7, 1 << 31, 1 << 62, math.MaxInt64, math.MinInt64}
	pick := func() int64 { return odd[rng.IntN(len(odd))] }
	inferred := 0
	for _, c := range cases {
		for range 4 {
			m, err := onnxio.ReadFrom(bytes.NewReader(c.Model))
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range m.Graph.Nodes {
				for _, a := range n.Attributes {
					switch {
					case rng.IntN(3) > 0:
					case a.Type == onnxio.AttrInt:
						a.I = pick()
					case a.Type == onnxio.AttrInts && len(a.Ints) > 0:
						a.Ints[rng.IntN(len(a.Ints))] = pick()
					}
				}
			}
			for i, x := range m.Graph.Initializers {
				if x.Type != onnxio.Int64 || rng.IntN(2) > 0 {
					continue
				}
				list := make([]int64, rng.IntN(5))
				for k := range list {
					list[k] = pick()
				}
				m.Graph.Initializers[i] = onnxio.NewTensor(x.Name, []int64{int64(len(list))}, list)
			}
			for _, v := range m.Graph.Inputs {
				for k := range v.Type.Shape {
					switch d := pick(); {
					case rng.IntN(4) > 0:
					case d < 0:
						v.Type.Shape[k] = onnxio.Symbol("s")
					default:
						v.Type.Shape[k] = onnxio.Fixed(d)
					}
				}
			}
			info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
			if err != nil {
				continue
			}
			inferred++
			for _, n := range m.Graph.Nodes {
				v, _ := info.Type(n.Output(0))
				for _, d := range v.Shape {
					if d.Value < -1 {
						t.Errorf("%s: %q has shape %v", c.Name, n.Output(0), v.Shape)
					}
				}
			}
		}
	}
	if inferred < len(cases)/2 {
		t.Errorf("only %d of %d mutated models were accepted; the test says little", inferred, 4*len(cases))
	}
}
