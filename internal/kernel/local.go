package kernel

import (
	"errors"
	"fmt"
)

// Local is a locally connected layer: in each group, each output position has
// weights of its own for the inputs that it sees. Arrays are x: N×Groups×Block,
// w: Groups×Positions×Out×Slots, y: N×Groups×Out×Positions; x and y are rows of
// vectors, a batch of N.
//
// Inside, the batch is the last axis, so that what a position sees is gathered
// as runs of memory and multiplied as a matrix: Out×Slots by Slots×N.
type Local struct {
	Groups    int
	Block     int // inputs of a group
	Positions int // output positions
	Out       int // output channels of a group
	Slots     int // inputs that a position sees
	// Table says which input of its group each slot of a position reads,
	// Positions×Slots; Block stands for a zero.
	Table []int32
}

// Validate reports what is wrong with the sizes and the table.
func (l Local) Validate() error {
	if l.Groups < 0 || l.Block < 0 || l.Positions < 0 || l.Out < 0 || l.Slots < 0 {
		return fmt.Errorf("%d groups of %d inputs, %d positions of %d channels and %d slots: a negative size", l.Groups, l.Block, l.Positions, l.Out, l.Slots)
	}
	if len(l.Table) != l.Positions*l.Slots {
		return fmt.Errorf("table: want %d entries, got %d", l.Positions*l.Slots, len(l.Table))
	}
	for _, i := range l.Table {
		if i < 0 || int(i) > l.Block {
			return errors.New("table: an entry names no input")
		}
	}
	return nil
}

// LocalLayer works a Local out for one batch size, with the buffers that it
// needs: no call allocates arrays. It is not for two calls at once.
type LocalLayer[T Float] struct {
	Local
	n    int
	x, y []T // with the batch last: Groups×Block×N, Groups×Positions×Out×N
}

// NewLocalLayer prepares the layer for batches of n.
func NewLocalLayer[T Float](l Local, n int) (*LocalLayer[T], error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	return &LocalLayer[T]{
		Local: l, n: n,
		x: make([]T, l.Groups*l.Block*n), y: make([]T, l.Groups*l.Positions*l.Out*n),
	}, nil
}

// Forward computes y from x and the weights w. It keeps what it gathered of x
// for BackwardWeights.
func (l *LocalLayer[T]) Forward(x, w, y []T) {
	l.Load(x)
	l.eachPosition(func(g, p int, column []T) {
		l.see(g, p, column)
		gemmSerial(false, false, l.Out, l.n, l.Slots, 1, l.weights(w, g, p), l.Slots, column, l.n, 0, l.output(g, p), l.n)
	})
	if l.Positions == 0 {
		return
	}
	size := l.Positions * l.Out
	Parallel(l.Groups*l.Out, 1+1<<14/max(1, l.n*l.Positions), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, o := i/l.Out, i%l.Out
			// Row o of every position, transposed.
			transposeBlocks(l.Positions, l.n, l.y[(g*size+o)*l.n:], l.Out*l.n, y[i*l.Positions:], l.Groups*size)
		}
	})
}

// LoadGradient takes dy, the gradient at the output, for the two functions
// below.
func (l *LocalLayer[T]) LoadGradient(dy []T) {
	if l.Positions == 0 {
		return
	}
	size := l.Positions * l.Out
	Parallel(l.Groups*l.Out, 1+1<<14/max(1, l.n*l.Positions), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, o := i/l.Out, i%l.Out
			transposeBlocks(l.n, l.Positions, dy[i*l.Positions:], l.Groups*size, l.y[(g*size+o)*l.n:], l.Out*l.n)
		}
	})
}

// BackwardWeights computes dw = alpha·(gradient at w) + beta·dw, after Forward
// and LoadGradient. A slot that reads a zero has the gradient 0.
func (l *LocalLayer[T]) BackwardWeights(alpha, beta T, dw []T) {
	l.eachPosition(func(g, p int, column []T) {
		l.see(g, p, column)
		gemmSerial(false, true, l.Out, l.Slots, l.n, alpha, l.output(g, p), l.n, column, l.n, beta, l.weights(dw, g, p), l.Slots)
	})
}

// BackwardInput computes dx, the gradient at the input, after LoadGradient. It
// overwrites what Forward kept: BackwardWeights comes before it, or after another
// Load.
func (l *LocalLayer[T]) BackwardInput(w, dx []T) {
	clear(l.x)
	// Positions read the same inputs, so the work is shared out by samples.
	shares := max(1, min(Threads(), l.n))
	Parallel(l.Groups*shares, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, share := i/shares, i%shares
			from, to := l.n*share/shares, l.n*(share+1)/shares
			column := borrow[T](l.Slots * (to - from))
			for p := range l.Positions {
				gemmSerial(true, false, l.Slots, to-from, l.Out, 1, l.weights(w, g, p), l.Slots, l.output(g, p)[from:], l.n, 0, *column, to-from)
				for s, at := range l.Table[p*l.Slots : (p+1)*l.Slots] {
					if int(at) < l.Block {
						row := (g*l.Block + int(at)) * l.n
						add(l.x[row+from:row+to], (*column)[s*(to-from):(s+1)*(to-from)])
					}
				}
			}
			giveBack(column)
		}
	})
	size := l.Groups * l.Block
	Parallel(size, 256, func(lo, hi int) {
		transposeBlocks(hi-lo, l.n, l.x[lo*l.n:], l.n, dx[lo:], size)
	})
}

// Load takes x for BackwardWeights, as Forward does.
func (l *LocalLayer[T]) Load(x []T) {
	size := l.Groups * l.Block
	Parallel(size, 256, func(lo, hi int) {
		transposeBlocks(l.n, hi-lo, x[lo:], size, l.x[lo*l.n:], l.n)
	})
}

// see gathers what a position sees into column, Slots×N.
func (l *LocalLayer[T]) see(g, p int, column []T) {
	for s, at := range l.Table[p*l.Slots : (p+1)*l.Slots] {
		if int(at) == l.Block {
			clear(column[s*l.n : (s+1)*l.n])
			continue
		}
		row := (g*l.Block + int(at)) * l.n
		copy(column[s*l.n:(s+1)*l.n], l.x[row:row+l.n])
	}
}

func (l *LocalLayer[T]) eachPosition(body func(g, p int, column []T)) {
	Parallel(l.Groups*l.Positions, 1+1<<13/max(1, l.Out*l.Slots*l.n), func(lo, hi int) {
		column := borrow[T](l.Slots * l.n)
		for i := lo; i < hi; i++ {
			body(i/l.Positions, i%l.Positions, *column)
		}
		giveBack(column)
	})
}

func (l *LocalLayer[T]) weights(w []T, g, p int) []T {
	size := l.Out * l.Slots
	at := (g*l.Positions + p) * size
	return w[at : at+size]
}

func (l *LocalLayer[T]) output(g, p int) []T {
	at := (g*l.Positions + p) * l.Out * l.n
	return l.y[at : at+l.Out*l.n]
}

// transposeBlocks writes the transpose of src, rows×cols with rows lds apart,
// to dst, whose rows are ldd apart, in blocks that fit a first-level cache.
func transposeBlocks[T Float](rows, cols int, src []T, lds int, dst []T, ldd int) {
	const block = 16
	for r0 := 0; r0 < rows; r0 += block {
		r1 := min(r0+block, rows)
		for c0 := 0; c0 < cols; c0 += block {
			c1 := min(c0+block, cols)
			for r := r0; r < r1; r++ {
				for c, v := range src[r*lds+c0 : r*lds+c1] {
					dst[(c0+c)*ldd+r] = v
				}
			}
		}
	}
}
