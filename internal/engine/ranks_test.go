package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// partModel is one of a rank that joins its input, spreads it and doubles it.
func partModel(elem onnxio.DataType, sizes []int64) *onnxio.Model {
	value := func(name string) *onnxio.ValueInfo {
		return &onnxio.ValueInfo{Name: name, Type: onnxio.TensorType{Elem: elem}}
	}
	return &onnxio.Model{
		IRVersion: 8, Opsets: []onnxio.Opset{{Version: 17}, {Domain: onnxio.RanksDomain, Version: 1}},
		Graph: &onnxio.Graph{
			Name: "part", Inputs: []*onnxio.ValueInfo{value("x")}, Outputs: []*onnxio.ValueInfo{value("y")},
			Nodes: []*onnxio.Node{
				{
					Name: "join", OpType: "AllGather", Domain: onnxio.RanksDomain, Inputs: []string{"x"}, Outputs: []string{"joined"},
					Attributes: []*onnxio.Attribute{
						onnxio.IntsAttr("sizes", sizes...), onnxio.IntAttr("partial", 1),
					},
				},
				{Name: "spread", OpType: "Spread", Domain: onnxio.RanksDomain, Inputs: []string{"joined"}, Outputs: []string{"spread"}},
				{Name: "double", OpType: "Add", Inputs: []string{"spread", "spread"}, Outputs: []string{"y"}},
			},
		},
	}
}

// TestAllGather: every rank gets what all ranks have, each at its place along axis 1, in
// batches that grow and shrink.
func TestAllGather(t *testing.T) {
	t.Run("float32", testAllGather[float32])
	t.Run("float64", testAllGather[float64])
}

func testAllGather[T kernel.Float](t *testing.T) {
	for _, c := range []struct {
		sizes []int64
		rest  []int
	}{
		{[]int64{5}, nil},
		{[]int64{2, 3}, []int{4, 2}},
		{[]int64{3, 0, 2}, []int{3}},
		{[]int64{300, 200}, nil},
	} {
		total := 0
		for _, size := range c.sizes {
			total += int(size)
		}
		inner := product(c.rest)
		job := mpi.Local(len(c.sizes))
		var all sync.WaitGroup
		for rank, w := range job {
			all.Go(func() {
				from, size := 0, int(c.sizes[rank])
				for _, s := range c.sizes[:rank] {
					from += int(s)
				}
				e, err := NewOver[T](w, partModel(onnxio.Float32, c.sizes))
				if err != nil {
					t.Error(err)
					return
				}
				for _, samples := range []int{2, 7, 0, 3} {
					// Element k of channel c of sample i of the whole value, doubled, is want(i, c, k).
					want := func(i, c, k int) T { return T(2 * (1 + (i*total+c)*inner + k)) }
					x := &Tensor[T]{Type: onnxio.Float32, Shape: append([]int{samples, size}, c.rest...), F: []T{}}
					for i := range samples {
						for c := from; c < from+size; c++ {
							for k := range inner {
								x.F = append(x.F, want(i, c, k)/2)
							}
						}
					}
					out, err := e.Run(t.Context(), map[string]*Tensor[T]{"x": x})
					if err != nil {
						t.Errorf("%v, rank %d: %v", c.sizes, rank, err)
						return
					}
					y := out["y"]
					if !slices.Equal(y.Shape, append([]int{samples, total}, c.rest...)) {
						t.Errorf("%v, rank %d: shape %v", c.sizes, rank, y.Shape)
						return
					}
					for at, v := range y.F {
						if w := want(at/(total*inner), at/inner%total, at%inner); v != w {
							t.Errorf("%v, rank %d: element %d is %v, want %v", c.sizes, rank, at, v, w)
							return
						}
					}
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// TestAllGatherRefuses: the model of a rank runs on as many ranks as it was cut for.
func TestAllGatherRefuses(t *testing.T) {
	feed := map[string]*Tensor[float32]{"x": {Type: onnxio.Float32, Shape: []int{1, 2}, F: []float32{1, 2}}}
	for _, c := range []struct {
		name, want string
		world      *mpi.World
		change     func(m *onnxio.Model)
	}{
		{"alone", `join" (efcn.ranks.AllGather): the model is the part of one rank`, nil, nil},
		{"other ranks", "sizes [2 3] along axis 1 are not those of 1 ranks", mpi.Local(1)[0], nil},
		{"no sizes", "attribute sizes is missing", mpi.Local(2)[0], func(m *onnxio.Model) {
			m.Graph.Nodes[0].Attributes = nil
		}},
		{"another domain", "the engine does not have this operator", mpi.Local(2)[0], func(m *onnxio.Model) {
			m.Graph.Nodes[0].Domain = ""
		}},
		{"two inputs", "2 inputs; want 1", mpi.Local(2)[0], func(m *onnxio.Model) {
			m.Graph.Nodes[1].Inputs = append(m.Graph.Nodes[1].Inputs, "x")
		}},
		{"unknown attribute", "attribute to is unknown", mpi.Local(2)[0], func(m *onnxio.Model) {
			m.Graph.Nodes[1].Attributes = append(m.Graph.Nodes[1].Attributes, onnxio.IntAttr("to", 1))
		}},
	} {
		m := partModel(onnxio.Float32, []int64{2, 3})
		if c.change != nil {
			c.change(m)
		}
		e, err := NewOver[float32](c.world, m)
		if err == nil {
			_, err = e.Run(t.Context(), feed)
		}
		if !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
