package finetune

import (
	"math"

	"efcn/internal/kernel"
)

func init() {
	register("LpPool", emitLpPool[float32], emitLpPool[float64])
	register("GlobalLpPool", emitGlobalLpPool[float32], emitGlobalLpPool[float64])
}

// lpPool takes the p-norm of each window of so many planes, padding counting as
// zeros: y = (Σ|x|ᵖ)^(1/p). The sums are a convolution with ones.
// https://onnx.ai/onnx/operators/onnx__LpPool.html
type lpPool[T kernel.Float] struct {
	kernel.Conv[T]
	planes int
	p      float64
	ones   []T
	powers []T // |x|ᵖ
	shares []T // what a window gives to each of its |x|ᵖ⁻¹
}

func newLpPool[T kernel.Float](w kernel.Window, planes int, p float64) *lpPool[T] {
	l := &lpPool[T]{
		Conv: kernel.Conv[T]{Groups: 1, InChannels: 1, OutChannels: 1, Window: w}, planes: planes, p: p,
		ones: make([]T, w.Taps()), powers: make([]T, planes*w.InSize()), shares: make([]T, planes*w.OutSize()),
	}
	for i := range l.ones {
		l.ones[i] = 1
	}
	return l
}

func (l *lpPool[T]) forward(in [][]T, y []T) {
	kernel.Parallel(len(l.powers), elementGrain, func(lo, hi int) {
		for i, v := range in[0][lo:hi] {
			l.powers[lo+i] = T(math.Pow(math.Abs(float64(v)), l.p))
		}
	})
	l.Forward(l.planes, l.powers, l.ones, nil, y)
	kernel.Parallel(len(y), elementGrain, func(lo, hi int) {
		for i, v := range y[lo:hi] {
			y[lo+i] = T(math.Pow(float64(v), 1/l.p))
		}
	})
}

// backward has the gradient 0 where the norm is 0.
func (l *lpPool[T]) backward(p pass[T]) {
	kernel.Parallel(len(p.dout), elementGrain, func(lo, hi int) {
		for i, g := range p.dout[lo:hi] {
			share := 0.0
			if y := float64(p.out[lo+i]); y != 0 {
				share = float64(g) * math.Pow(y, 1-l.p)
			}
			l.shares[lo+i] = T(share)
		}
	})
	l.BackwardInput(l.planes, l.shares, l.ones, p.din[0])
	kernel.Parallel(len(p.din[0]), elementGrain, func(lo, hi int) {
		for i, v := range p.in[0][lo:hi] {
			x := float64(v)
			if x == 0 {
				p.din[0][lo+i] = 0
				continue
			}
			p.din[0][lo+i] *= T(math.Copysign(math.Pow(math.Abs(x), l.p-1), x))
		}
	})
}

func emitLpPool[T kernel.Float](n *node[T]) error {
	p, err := n.norm()
	if err != nil {
		return err
	}
	x, w, err := n.pool()
	if err != nil {
		return err
	}
	return n.emit(newLpPool[T](w, n.b.a.net.batch*x.shape[0], p), append([]int{x.shape[0]}, w.Out...), []value{x})
}

func emitGlobalLpPool[T kernel.Float](n *node[T]) error {
	p, err := n.norm()
	if err != nil {
		return err
	}
	x, out, err := n.planes()
	if err != nil {
		return err
	}
	return n.emit(newLpPool[T](global(product(x.shape[1:])), n.b.a.net.batch*x.shape[0], p), out, []value{x})
}

// norm returns the attribute p.
func (n *node[T]) norm() (float64, error) {
	p, err := n.Int("p", 2)
	if err != nil {
		return 0, n.Wrap(err)
	}
	if p < 1 {
		return 0, n.Errorf("attribute p: want at least 1, got %d", p)
	}
	return float64(p), nil
}
