package finetune

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"efcn/convert/cut"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// randomNet grows a network node by node: layers that may be cut and operators that may
// follow them or need all of what they read, some of which read one value or one weight.
type randomNet struct {
	rng    *rand.Rand
	nodes  []*onnxio.Node
	inits  []*onnxio.Tensor
	names  []string // of values, the newest last
	dims   map[string][]int64
	square map[int64]string // a weight of so many rows and columns
}

func newRandomNet(seed uint64) *randomNet {
	r := &randomNet{
		rng: rand.New(rand.NewPCG(seed, 77)), names: []string{"input"}, dims: map[string][]int64{"input": {12}},
		square: map[int64]string{},
	}
	for range 8 + r.rng.IntN(8) {
		r.grow()
	}
	r.finish()
	return r
}

// finish makes the logits, a sum of what every value that nothing reads gives.
func (r *randomNet) finish() {
	links := onnxio.NewLinks(r.nodes)
	sum := ""
	for _, name := range slices.Clone(r.names) {
		if links.Uses(name) > 0 {
			continue
		}
		v, n := r.flat(name)
		r.add([]int64{sketchClasses}, "Gemm", v+" "+r.weight(sketchClasses, n), onnxio.IntAttr("transB", 1))
		if sum != "" {
			r.add([]int64{sketchClasses}, "Add", sum+" "+r.names[len(r.names)-1])
		}
		sum = r.names[len(r.names)-1]
	}
	r.nodes = append(r.nodes, apply("Identity", sum, "logits"))
}

// add appends a node whose output has those dimensions.
func (r *randomNet) add(dims []int64, op, inputs string, attributes ...*onnxio.Attribute) {
	name := fmt.Sprintf("v%d", len(r.names))
	r.nodes = append(r.nodes, apply(op, inputs, name, attributes...))
	r.names, r.dims[name] = append(r.names, name), dims
}

// weight makes one and returns its name.
func (r *randomNet) weight(dims ...int64) string {
	v := make([]float64, product(toInts(dims)))
	for i := range v {
		v[i] = r.rng.NormFloat64() / 4 // small, so that rounding stays what it is
	}
	t := onnxio.NewTensor(fmt.Sprintf("w%d", len(r.inits)), dims, v)
	r.inits = append(r.inits, t)
	return t.Name
}

// flat returns a value as a vector, and its length.
func (r *randomNet) flat(name string) (string, int64) {
	d := r.dims[name]
	if len(d) == 1 {
		return name, d[0]
	}
	r.add([]int64{d[0] * d[1]}, "Flatten", name)
	return r.names[len(r.names)-1], d[0] * d[1]
}

// grow appends a node or two that read a value, most often the newest.
func (r *randomNet) grow() {
	x := r.names[len(r.names)-1]
	if r.rng.IntN(2) == 0 {
		x = r.names[r.rng.IntN(len(r.names))]
	}
	d := r.dims[x]
	switch r.rng.IntN(10) {
	case 0, 1, 2:
		v, n := r.flat(x)
		rows := 4 * (1 + r.rng.Int64N(5))
		inputs := v + " " + r.weight(rows, n)
		if r.rng.IntN(2) == 0 {
			inputs += " " + r.weight(rows)
		}
		r.add([]int64{rows}, "Gemm", inputs, onnxio.IntAttr("transB", 1))
	case 3: // a weight that other layers may share, transposed or not
		v, n := r.flat(x)
		if r.square[n] == "" {
			r.square[n] = r.weight(n, n)
		}
		r.add([]int64{n}, "Gemm", v+" "+r.square[n], onnxio.IntAttr("transB", r.rng.Int64N(2)))
	case 4:
		v, n := r.flat(x)
		r.add([]int64{8}, "MatMul", v+" "+r.weight(n, 8))
	case 5, 6:
		same := slices.DeleteFunc(slices.Clone(r.names), func(name string) bool { return !slices.Equal(r.dims[name], d) })
		r.add(d, "Add", x+" "+same[r.rng.IntN(len(same))])
		r.add(d, "Tanh", r.names[len(r.names)-1])
	case 7:
		r.add(d, []string{"Tanh", "LeakyRelu", "Softmax"}[r.rng.IntN(3)], x)
	case 8:
		shape := append([]int64{d[0]}, slices.Repeat([]int64{1}, len(d)-1)...)
		if r.rng.IntN(3) == 0 {
			shape = []int64{1}
		}
		r.add(d, "PRelu", x+" "+r.weight(shape...))
	case 9:
		if len(d) == 1 && d[0]%4 == 0 {
			shape := integers(fmt.Sprintf("s%d", len(r.names)), 0, 4, d[0]/4)
			r.inits = append(r.inits, shape)
			r.add([]int64{4, d[0] / 4}, "Reshape", x+" "+shape.Name)
		}
	}
}

// TestRandomCutsTrain: random networks, some of their layers cut, come to the weights that
// the whole ones come to.
func TestRandomCutsTrain(t *testing.T) {
	cuts, spreads, compared := 0, 0, 0
	for seed := range uint64(60) {
		r := newRandomNet(seed)
		m := byHand{shape: []int64{12}, inits: r.inits}.model(r.nodes, 0, 1)
		whole, net := mustNetwork[float64](t, m, sketchBatch, true)
		losses := handSteps(t, net)
		o := cut.Options{Ranks: 2 + int(seed%3), Least: []int64{100, 1000, 2000}[seed/3%3]}
		what := fmt.Sprintf("seed %d, %+v", seed, o)
		var mutex sync.Mutex
		onRanks(o.Ranks, func(w *mpi.World) {
			part, tr, n := cutNetwork(t, m, TrainAll, o, w)
			if n == nil {
				return
			}
			if got := handSteps(t, n); !closeTo(got, losses, 1e-12) {
				t.Errorf("%s: losses %v, want %v", what, got, losses)
			}
			mutex.Lock()
			defer mutex.Unlock()
			compared += compareSlices(t, what, part, tr, whole)
			for _, g := range part.Gathers {
				if cuts++; g.Sizes == nil {
					spreads++
				}
			}
		})
	}
	if cuts != 852 || spreads != 178 || compared != 2281 {
		t.Errorf("%d exchanges, %d of them spread, and %d tensors; want 852, 178 and 2281", cuts, spreads, compared)
	}
}
