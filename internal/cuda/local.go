package cuda

import (
	"errors"
	"fmt"
	"slices"

	"efcn/internal/kernel"
)

// Local computes a [kernel.Local] for batches of n, with the batch last: x is
// Groups×Block×n, w Groups×Positions×Out×Slots, y Groups×Out×Positions×n. It keeps
// nothing of a pass: backward functions are given x and dy.
type Local struct {
	kernel.Local
	n     int
	table Buffer[int32]
	// Of the gradient at the input: bundles of inputs that the same positions read; see
	// kernels/local.cu.
	bundles                      int
	rows, inputs, readers, slots Buffer[int32]
	tall                         bool // a bundle has more than smallTile inputs
}

// The kernels work on tiles of so many rows.
const (
	smallTile = 16
	largeTile = 64
	tileSize  = 4096 // elements
)

// NewLocal readies a layer. Free gives its tables back.
func NewLocal(t *Thread, l kernel.Local, n int) (*Local, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	if err := checkInts("local", n, l.Groups, l.Block, l.Positions, l.Out, l.Slots, l.Positions*l.Slots); err != nil {
		return nil, err
	}
	d := &Local{Local: l, n: n}
	b := bundle(l)
	d.bundles, d.tall = len(b.rows)/5, b.widest > smallTile
	for _, table := range []struct {
		to     *Buffer[int32]
		values []int32
	}{{&d.table, l.Table}, {&d.rows, b.rows}, {&d.inputs, b.inputs}, {&d.readers, b.readers}, {&d.slots, b.slots}} {
		var err error
		if *table.to, err = Made(t, table.values); err != nil {
			return nil, errors.Join(err, d.Free(t))
		}
	}
	d.Table = nil
	return d, nil
}

// Free gives the layer's tables back.
func (l *Local) Free(t *Thread) error {
	return errors.Join(l.table.Free(t), l.rows.Free(t), l.inputs.Free(t), l.readers.Free(t), l.slots.Free(t))
}

// bundles are the tables for the gradient at the input.
type bundles struct {
	rows, inputs, readers, slots []int32
	widest                       int // inputs of a bundle
}

// bundle finds the inputs that the same positions read, as the channels of an image at
// one place are. A bundle has at most largeTile inputs.
func bundle(l kernel.Local) bundles {
	readers, slots := make([][]int32, l.Block), make([][]int32, l.Block)
	for i, q := range l.Table {
		if int(q) < l.Block {
			readers[q] = append(readers[q], int32(i/l.Slots))
			slots[q] = append(slots[q], int32(i%l.Slots))
		}
	}
	var b bundles
	var groups [][]int32
	found := map[uint64][]int{} // by a hash of the readers
	for q := range int32(l.Block) {
		h := uint64(14695981039346656037) // FNV-1a over whole positions
		for _, p := range readers[q] {
			h = (h ^ uint64(p)) * 1099511628211
		}
		at := -1
		for _, g := range found[h] {
			if len(groups[g]) < largeTile && slices.Equal(readers[groups[g][0]], readers[q]) {
				at = g
			}
		}
		if at < 0 {
			at = len(groups)
			groups, found[h] = append(groups, nil), append(found[h], at)
		}
		groups[at] = append(groups[at], q)
	}
	for _, inputs := range groups {
		of := readers[inputs[0]]
		b.rows = append(b.rows, int32(len(b.inputs)), int32(len(inputs)), int32(len(b.readers)), int32(len(of)),
			int32(len(b.slots)))
		b.inputs, b.readers = append(b.inputs, inputs...), append(b.readers, of...)
		for i := range of {
			for _, q := range inputs {
				b.slots = append(b.slots, slots[q][i])
			}
		}
		b.widest = max(b.widest, len(inputs))
	}
	return b
}

func (l *Local) weights() int { return l.Groups * l.Positions * l.Out * l.Slots }
func (l *Local) in() int      { return l.Groups * l.Block * l.n }
func (l *Local) out() int     { return l.Groups * l.Out * l.Positions * l.n }

// tiles returns which kernel works on m×n elements at each of so many places, and its
// blocks.
func tiles(name string, tall bool, places, m, n int) (string, blocks) {
	tile := smallTile
	if tall {
		tile = largeTile
	}
	across := tileSize / tile
	return fmt.Sprintf("%s_%d", name, tile), blocks{places * ((n + across - 1) / across), (m + tile - 1) / tile}
}

// LocalForward computes y from x, the weights w and, unless it is empty, the bias, a value
// for each output.
func LocalForward[T kernel.Float](s *Stream, l *Local, x, w, bias, y Buffer[T]) error {
	needs := []need{{"x", x.n, l.in()}, {"w", w.n, l.weights()}, {"y", y.n, l.out()}}
	if bias.n > 0 {
		needs = append(needs, need{"bias", bias.n, l.Groups * l.Out * l.Positions})
	}
	if err := check("local forward", needs...); err != nil {
		return err
	}
	name, grid := tiles("local_forward", l.Out > smallTile, l.Groups*l.Positions, l.Out, l.n)
	return launch[T](s, name, grid, word(l.Block), word(l.Positions), word(l.Out), word(l.Slots), word(l.n), l.table, x, w,
		bias, y)
}

// LocalWeights computes dw = alpha·(gradient at the weights) + beta·dw. factors, unless
// it is empty, holds alpha and beta.
func LocalWeights[T kernel.Float](s *Stream, l *Local, alpha, beta T, factors, x, dy, dw Buffer[T]) error {
	err := check("local weights", need{"x", x.n, l.in()}, need{"dy", dy.n, l.out()}, need{"dw", dw.n, l.weights()},
		factorsNeed(factors))
	if err != nil {
		return err
	}
	name, grid := tiles("local_weights", l.Out > smallTile, l.Groups*l.Positions, l.Out, l.Slots)
	return launch[T](s, name, grid, word(l.Block), word(l.Positions), word(l.Out), word(l.Slots), word(l.n), alpha, beta,
		factors, l.table, x, dy, dw)
}

// factorsNeed: alpha and beta on the device, where they are there.
func factorsNeed[T kernel.Float](factors Buffer[T]) need {
	if factors.n == 0 {
		return need{}
	}
	return need{"factors", factors.n, 2}
}

// LocalInput computes dx, the gradient at the input.
func LocalInput[T kernel.Float](s *Stream, l *Local, w, dy, dx Buffer[T]) error {
	err := check("local input", need{"w", w.n, l.weights()}, need{"dy", dy.n, l.out()}, need{"dx", dx.n, l.in()})
	if err != nil {
		return err
	}
	name, grid := tiles("local_input", l.tall, l.Groups*l.bundles, 1, l.n)
	return launch[T](s, name, grid, word(l.Block), word(l.Positions), word(l.Out), word(l.Slots), word(l.n),
		word(l.bundles), l.rows, l.inputs, l.readers, l.slots, w, dy, dx)
}
