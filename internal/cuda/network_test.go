package cuda

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"efcn/internal/kernel"
)

// testNetwork trains a small net for 50 steps on the device, captured in a graph after the
// first, and with the kernels of the processor, both in float64: a local layer with a
// pooled ReLU, a factored layer without its local form, and a dense one. They differ by
// rounding, which grows along the steps; it began below 1e-15.
func testNetwork(t *testing.T, r *rig) {
	const n, steps, tolerance = 6, 50, 1e-9
	rng := rand.New(rand.NewPCG(11, 12))
	on := newNet(rng)
	here := newNet(rand.New(rand.NewPCG(11, 12)))
	x := make([][]float64, steps)
	labels := make([][]int32, steps)
	for i := range x {
		x[i], labels[i] = random[float64](rng, n*netIn), make([]int32, n)
		for j := range labels[i] {
			labels[i][j] = int32(rng.IntN(netClasses))
		}
	}
	var want []float64
	for i := range x {
		want = append(want, here.step(t, n, x[i], labels[i]))
	}
	r.run(t, func(a *arena) {
		got := on.train(a, n, x, labels)
		for i, loss := range got {
			if !(math.Abs(loss-want[i]) <= tolerance*math.Abs(want[i])) {
				t.Errorf("loss of step %d: %v on the device, %v here", i, loss, want[i])
				return
			}
		}
	})
	for i, name := range []string{"local weights", "V", "U", "dense weights"} {
		moved := 0.0
		for j, v := range on.weights[i] {
			if !(math.Abs(v-here.weights[i][j]) <= tolerance) {
				t.Fatalf("%s: %v on the device, %v here", name, v, here.weights[i][j])
			}
			moved = max(moved, math.Abs(v-on.began[i][j]))
		}
		if moved < 1e-2 {
			t.Errorf("%s moved by %v at most", name, moved)
		}
	}
}

const (
	netIn, netHidden, netRank, netMiddle, netClasses = 36, 3 * 16, 4, 10, 5
	netRate                                          = 0.125
)

// testNet has the weights: of a local layer from 6×6 to 3×4×4, of V and U, and of a dense
// layer. After the local layer there is a MaxPool of 2×2 with the ReLU in it.
type testNet struct {
	local          kernel.Local
	pool           kernel.Window
	weights, began [][]float64
}

func newNet(rng *rand.Rand) *testNet {
	l := kernel.Local{Groups: 1, Block: netIn, Positions: 16, Out: 3, Slots: 9}
	for p := range 16 {
		for s := range 9 {
			l.Table = append(l.Table, int32((p/4+s/3)*6+p%4+s%3))
		}
	}
	w := &testNet{local: l, pool: kernel.Window{
		In: []int{4, 4}, Kernel: []int{2, 2}, Stride: []int{2, 2}, Dilation: []int{1, 1}, PadBegin: []int{0, 0},
		PadEnd: []int{0, 0}, Out: []int{2, 2},
	}}
	for _, size := range []int{16 * 3 * 9, netRank * 12, netMiddle * netRank, netClasses * netMiddle} {
		v := random[float64](rng, size)
		for i := range v {
			v[i] *= 0.4
		}
		w.weights, w.began = append(w.weights, v), append(w.began, slices.Clone(v))
	}
	return w
}

// step is one step of SGD on the processor, samples first; it returns the mean loss.
func (w *testNet) step(t *testing.T, n int, x []float64, labels []int32) float64 {
	layer, err := kernel.NewLocalLayer[float64](w.local, n)
	if err != nil {
		t.Fatal(err)
	}
	hidden, pooled, argmax := make([]float64, n*netHidden), make([]float64, n*12), make([]int32, n*12)
	layer.Forward(x, w.weights[0], nil, hidden)
	kernel.MaxPool(w.pool, n*3, hidden, pooled, argmax)
	kernel.Clip(pooled, pooled, 0, math.Inf(1))
	vx, middle, logits := make([]float64, n*netRank), make([]float64, n*netMiddle), make([]float64, n*netClasses)
	kernel.Gemm(false, true, n, netRank, 12, 1, pooled, 12, w.weights[1], 12, 0, vx, netRank)
	kernel.Gemm(false, true, n, netMiddle, netRank, 1, vx, netRank, w.weights[2], netRank, 0, middle, netMiddle)
	kernel.Clip(middle, middle, 0, math.Inf(1))
	kernel.Gemm(false, true, n, netClasses, netMiddle, 1, middle, netMiddle, w.weights[3], netMiddle, 0, logits, netClasses)
	asInts := make([]int, n)
	for i, l := range labels {
		asInts[i] = int(l)
	}
	dlogits, dmiddle, dvx, dpooled := make([]float64, len(logits)), make([]float64, len(middle)), make([]float64, len(vx)), make([]float64, len(pooled))
	loss, _ := kernel.CrossEntropy(n, netClasses, logits, asInts, dlogits)
	kernel.Gemm(false, false, n, netMiddle, netClasses, 1, dlogits, netClasses, w.weights[3], netMiddle, 0, dmiddle, netMiddle)
	kernel.Gate(dmiddle, middle, dmiddle)
	kernel.Gemm(false, false, n, netRank, netMiddle, 1, dmiddle, netMiddle, w.weights[2], netRank, 0, dvx, netRank)
	kernel.Gemm(false, false, n, 12, netRank, 1, dvx, netRank, w.weights[1], 12, 0, dpooled, 12)
	kernel.Gate(dpooled, pooled, dpooled)
	dhidden := make([]float64, len(hidden))
	kernel.MaxPoolBackward(w.pool, n*3, dpooled, argmax, dhidden)
	layer.LoadGradient(dhidden)
	layer.BackwardWeights(-netRate, 1, w.weights[0])
	kernel.Gemm(true, false, netRank, 12, n, -netRate, dvx, netRank, pooled, 12, 1, w.weights[1], 12)
	kernel.Gemm(true, false, netMiddle, netRank, n, -netRate, dmiddle, netMiddle, vx, netRank, 1, w.weights[2], netRank)
	kernel.Gemm(true, false, netClasses, netMiddle, n, -netRate, dlogits, netClasses, middle, netMiddle, 1, w.weights[3], netMiddle)
	return loss / float64(n)
}

// train does all steps on the device and returns their losses.
func (w *testNet) train(a *arena, n int, x [][]float64, labels [][]int32) []float64 {
	layer, err := NewLocal(a.thread, w.local, n)
	a.do(err)
	if err != nil {
		return nil
	}
	a.free = append(a.free, func() error { return layer.Free(a.thread) })
	none := Buffer[float64]{}
	var weights []Buffer[float64]
	for _, v := range w.weights {
		weights = append(weights, put(a, v))
	}
	make := func(size int) Buffer[float64] { return room[float64](a, size*n) }
	raw, in, hidden, pooled, argmax := make(netIn), make(netIn), make(netHidden), make(12), room[int32](a, 12*n)
	vx, middle, logits := make(netRank), make(netMiddle), make(netClasses)
	dhidden, dpooled, dvx, dmiddle, dlogits := make(netHidden), make(12), make(netRank), make(netMiddle), make(netClasses)
	classes, to, mean := room[int32](a, n), Loss{make(1), make(1)}, make(1).Part(0, 1)
	update := put(a, []float64{-netRate, 1})
	product := func(transA, transB bool, m, cols, k int, p, q, c Buffer[float64], factors Buffer[float64]) {
		a.do(Gemm(a.Stream, Product[float64]{TransA: transA, TransB: transB, M: m, N: cols, K: k, Alpha: 1, A: p, B: q, C: c, Factors: factors}))
	}
	step := func() error {
		a.do(Transpose(a.Stream, n, netIn, raw, in))
		a.do(LocalForward(a.Stream, layer, in, weights[0], none, hidden))
		a.do(MaxPool(a.Stream, w.pool, 3, n, true, hidden, pooled, argmax))
		product(false, false, netRank, n, 12, weights[1], pooled, vx, none)
		product(false, false, netMiddle, n, netRank, weights[2], vx, middle, none)
		a.do(Clip(a.Stream, middle, middle, 0, math.Inf(1)))
		product(false, false, netClasses, n, netMiddle, weights[3], middle, logits, none)
		a.do(CrossEntropy(a.Stream, netClasses, n, logits, classes, to, dlogits))
		a.do(Sum(a.Stream, 0, to.Losses, mean))
		product(true, false, netMiddle, n, netClasses, weights[3], dlogits, dmiddle, none)
		a.do(Gate(a.Stream, dmiddle, middle, dmiddle))
		product(true, false, netRank, n, netMiddle, weights[2], dmiddle, dvx, none)
		product(true, false, 12, n, netRank, weights[1], dvx, dpooled, none)
		a.do(MaxPoolBackward(a.Stream, w.pool, 3, n, true, dpooled, pooled, argmax, dhidden))
		a.do(LocalWeights(a.Stream, layer, 0, 0, update, in, dhidden, weights[0]))
		product(false, true, netRank, 12, n, dvx, pooled, weights[1], update)
		product(false, true, netMiddle, netRank, n, dmiddle, vx, weights[2], update)
		product(false, true, netClasses, netMiddle, n, dlogits, middle, weights[3], update)
		return nil
	}
	var losses []float64
	var graph *Graph
	for i := range x {
		a.do(Write(a.Stream, raw, x[i]))
		a.do(Write(a.Stream, classes, labels[i]))
		if i == 0 {
			a.do(step())
		} else {
			a.do(a.Launch(graph))
		}
		losses = append(losses, get(a, mean)[0]/float64(n))
		if i == 0 {
			graph, err = a.Capture(step)
			a.do(err)
			if err != nil {
				return losses
			}
			a.free = append(a.free, graph.Free)
		}
	}
	for i, b := range weights {
		a.do(Read(a.Stream, w.weights[i], b))
	}
	return losses
}
