package kernel

import (
	"errors"
	"fmt"
	"math"
)

// Local is a locally connected layer: in each group, each output position has
// its own weights for the inputs that it reads. Arrays are x: N×Groups×Block,
// w: Groups×Positions×Out×Slots, y: N×Groups×Out×Positions; x and y are rows of
// vectors, a batch of N.
//
// Inside, samples lie in lines of 64 bytes, which a processor moves at once (see
// local_lines.go): a position's product, Out×Slots by Slots×line, reads the
// lines that the table names in place. Weights, of which there may be more than a
// cache holds, are read once for all samples of a batch.
type Local struct {
	Groups    int
	Block     int // inputs of a group
	Positions int // output positions
	Out       int // output channels of a group
	Slots     int // inputs that a position reads
	// Table has the input of the group that each slot of a position reads,
	// Positions×Slots; Block stands for a zero.
	Table []int32
}

// Validate reports what is wrong with the sizes and the table.
func (l Local) Validate() error {
	if l.Groups < 0 || l.Block < 0 || l.Positions < 0 || l.Out < 0 || l.Slots < 0 {
		return fmt.Errorf(
			"%d groups of %d inputs, %d positions of %d channels and %d slots: a negative size",
			l.Groups, l.Block, l.Positions, l.Out, l.Slots,
		)
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

// LocalLayer computes a Local for one batch size. It keeps its buffers: after the
// first calls, none allocates arrays. It must not be used by two goroutines at once.
type LocalLayer[T Float] struct {
	Local
	n      int
	code   *localCode[T] // nil: plain code
	blocks int           // lines of samples that a batch takes
	starts []int         // slots at which the layer's parts begin, see parts
	lines  int           // lines of a block of x
	table  []int32       // Table, with the numbers of lines
	x      []T           // Groups×blocks×lines, the last ones of a block zero

	// Of the gradients; made when they are first asked for.
	stride int // lines of a block of dy
	dy     []T // Groups×blocks×stride, of which Positions×Out are used
	dx     []T // as x; what lies in place of the zeros is not read
}

// localCode is an instruction set's code for one position and, except for dots, one
// block of samples.
type localCode[T Float] struct {
	// forward computes rows of y = w·x + bias, w being rows×slots and x the lines
	// that the table names. Rows of y are ldy apart, those of bias ldb.
	forward func(rows, slots int, table *int32, x, w, y *T, ldy int, bias *T, ldb int)
	// input adds wᵀ·dy to the lines of dx that the table names: w is outs×slots,
	// its rows ldw apart, and dy outs lines.
	input func(slots, outs int, table *int32, w *T, ldw int, dy, dx *T)
	// dots computes c = alpha·a·bᵀ + beta·c for rows of at most dotRows and cols in
	// multiples of dotCols: a is rows and b cols lines in each of blocks, lda and
	// ldb apart.
	dots    func(rows, cols, blocks int, a *T, lda int, b *T, ldb int, c *T, ldc int, alpha, beta T)
	dotRows int
}

const dotCols = 4

// NewLocalLayer prepares the layer for batches of n. It keeps no part of l.Table.
func NewLocalLayer[T Float](l Local, n int) (*LocalLayer[T], error) {
	return newLocalLayer(l, n, localCodeHere[T]())
}

func newLocalLayer[T Float](l Local, n int, code *localCode[T]) (*LocalLayer[T], error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	layer := &LocalLayer[T]{Local: l, n: n, code: code, blocks: ceilDiv(n, lanes[T]())}
	if l.Slots == 0 || l.Out == 0 || n == 0 {
		layer.code = nil
	}
	layer.starts = l.parts()
	layer.lines = lineOf(l.Block) + len(layer.starts)
	layer.stride = (l.Positions*l.Out + dotSpare) | 1
	if layer.lines > math.MaxInt32 {
		return nil, fmt.Errorf("%d inputs in a group: want at most 2³¹/64·63", l.Block)
	}
	layer.table = make([]int32, len(l.Table))
	for i, q := range l.Table {
		layer.table[i] = int32(lineOf(int(q)))
	}
	for part, start := range layer.starts {
		// Each part has its own zero, in which it adds up the gradients of padding.
		for p := range l.Positions {
			for s := start; s < layer.end(part); s++ {
				if i := p*l.Slots + s; int(l.Table[i]) == l.Block {
					layer.table[i] += int32(part)
				}
			}
		}
	}
	layer.Table = nil
	layer.x = make([]T, l.Groups*layer.blocks*layer.lines*lanes[T]())
	return layer, nil
}

// parts finds where the slots can be divided: from there on they read, at every
// position, inputs behind all that the slots before read at any. In a convolution
// that is at every channel.
func (l Local) parts() []int {
	behind := make([]int, l.Slots+1) // least input that slots from s on read
	least := make([]int, l.Slots)
	most := make([]int, l.Slots)
	for s := range l.Slots {
		least[s], most[s] = l.Block, -1
	}
	for p := range l.Positions {
		for s, q := range l.Table[p*l.Slots : (p+1)*l.Slots] {
			if int(q) < l.Block {
				least[s], most[s] = min(least[s], int(q)), max(most[s], int(q))
			}
		}
	}
	behind[l.Slots] = l.Block
	for s := l.Slots - 1; s >= 0; s-- {
		behind[s] = min(behind[s+1], least[s])
	}
	starts, furthest := []int{0}, -1
	for s := 1; s < l.Slots; s++ {
		if furthest = max(furthest, most[s-1]); furthest < behind[s] {
			starts = append(starts, s)
		}
	}
	return starts
}

// end is the slot at which a part ends.
func (l *LocalLayer[T]) end(part int) int {
	if part+1 < len(l.starts) {
		return l.starts[part+1]
	}
	return l.Slots
}

// check panics if an array is shorter than the layer's sizes have it.
func (l *LocalLayer[T]) check(what string, v []T, want int) {
	if len(v) < want {
		panic(fmt.Sprintf("kernel: local: %s has %d elements; want %d", what, len(v), want))
	}
}

// Forward computes y from x, the weights w and, unless it is nil, the bias, a
// value for each output (Groups×Out×Positions). It keeps x for BackwardWeights.
func (l *LocalLayer[T]) Forward(x, w, bias, y []T) {
	l.check("x", x, l.n*l.Groups*l.Block)
	l.check("w", w, l.Groups*l.Positions*l.Out*l.Slots)
	if bias != nil {
		l.check("bias", bias, l.Groups*l.Out*l.Positions)
	}
	l.check("y", y, l.n*l.Groups*l.Out*l.Positions)
	l.load(x)
	// A chunk has as many positions as a line has elements, so that y is written in
	// whole lines; fewer where there would be too few chunks for the threads.
	chunk := strip
	for chunk > 1 && l.Groups*ceilDiv(l.Positions, chunk)*l.blocks < 2*Threads() {
		chunk /= 2
	}
	chunks := ceilDiv(l.Positions, chunk)
	shares := max(1, min(l.blocks, ceilDiv(2*Threads(), max(1, l.Groups*chunks))))
	Parallel(l.Groups*chunks*shares, l.grain(chunk*l.blocks/shares), func(lo, hi int) {
		own := borrow[T](l.Out * chunk * lanes[T]())
		for i := lo; i < hi; i++ {
			g, c, share := i/shares/chunks, i/shares%chunks, i%shares
			for b := l.blocks * share / shares; b < l.blocks*(share+1)/shares; b++ {
				l.forward(g, b, c*chunk, min((c+1)*chunk, l.Positions), chunk, w, bias, y, *own)
			}
		}
		giveBack(own)
	})
}

// grain is how many pieces of so many products of a position and a line are
// worth a goroutine.
func (l *LocalLayer[T]) grain(products int) int {
	return 1 + 1<<14/max(1, products*l.Out*l.Slots)
}

// forward computes positions p0 to p1 for a block of samples.
func (l *LocalLayer[T]) forward(g, b, p0, p1, chunk int, w, bias, y, own []T) {
	line := lanes[T]()
	x := l.block(g, b)
	for p := p0; p < p1; p++ {
		part, table := own[(p-p0)*line:], l.table[p*l.Slots:(p+1)*l.Slots]
		add, ldb := x[len(x)-line:], 0 // zeros
		if bias != nil {
			add, ldb = bias[g*l.Out*l.Positions+p:], l.Positions
		}
		if l.code == nil {
			l.forwardPlain(table, x, l.weights(w, g, p), part, chunk*line, add, ldb)
			continue
		}
		l.code.forward(l.Out, l.Slots, &table[0], &x[0], &l.weights(w, g, p)[0], &part[0], chunk*line, &add[0], ldb)
	}
	first, size := b*line, l.Groups*l.Out*l.Positions
	for o := range l.Out {
		from := own[o*chunk*line : (o+1)*chunk*line]
		storeLines(p1-p0, min(line, l.n-first), from, y[first*size+(g*l.Out+o)*l.Positions+p0:], size)
	}
}

// LoadGradient takes dy, the gradient at the output, for the two functions
// below.
func (l *LocalLayer[T]) LoadGradient(dy []T) {
	l.check("dy", dy, l.n*l.Groups*l.Out*l.Positions)
	line := lanes[T]()
	if l.dy == nil {
		l.dy = make([]T, l.Groups*l.blocks*l.stride*line)
	}
	if l.Positions == 0 {
		return
	}
	size := l.Groups * l.Out * l.Positions
	Parallel(l.Groups*l.blocks*l.Out, 1+1<<14/max(1, line*l.Positions), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, b, o := i/l.Out/l.blocks, i/l.Out%l.blocks, i%l.Out
			first, to := b*line, l.dy[((g*l.blocks+b)*l.stride+o)*line:]
			for p := 0; p < l.Positions; p += strip {
				transpose(
					min(line, l.n-first), min(strip, l.Positions-p),
					dy[first*size+(g*l.Out+o)*l.Positions+p:], size, to[p*l.Out*line:], l.Out*line,
				)
			}
		}
	})
}

// BackwardWeights computes dw = alpha·(gradient at w) + beta·dw, after Forward
// and LoadGradient. A slot that reads a zero has the gradient 0.
func (l *LocalLayer[T]) BackwardWeights(alpha, beta T, dw []T) {
	l.check("dw", dw, l.Groups*l.Positions*l.Out*l.Slots)
	line := lanes[T]()
	// So many slots at a time that what they read stays in a first-level cache.
	slots := min(l.Slots, max(4, 24<<10/(lineBytes*max(1, l.blocks))/4*4))
	step := (slots + dotSpare) | 1
	size := l.blocks * step * line
	Parallel(l.Groups*l.Positions, l.grain(l.blocks), func(lo, hi int) {
		own := borrow[T](size + 4*dotCols)
		for i := lo; i < hi; i++ {
			g, p := i/l.Positions, i%l.Positions
			to := l.weights(dw, g, p)
			for s := 0; s < l.Slots; s += slots {
				n := min(slots, l.Slots-s)
				l.gather(g, l.table[p*l.Slots+s:][:n], *own, step)
				l.dots(g, p, n, alpha, beta, (*own)[:size], step, (*own)[size:], to[s:])
			}
		}
		giveBack(own)
	})
}

// dots computes the gradient at the weights of a position for n slots, which read
// column; edge holds a tile for which dw has no room.
func (l *LocalLayer[T]) dots(g, p, n int, alpha, beta T, column []T, step int, edge, dw []T) {
	if l.code == nil {
		l.dotsPlain(g, p, n, alpha, beta, column, step, dw)
		return
	}
	line, dy := lanes[T](), l.gradient(g, 0, p)
	whole := n / dotCols * dotCols
	for o := 0; o < l.Out; o += l.code.dotRows {
		rows := min(l.code.dotRows, l.Out-o)
		if whole > 0 {
			l.code.dots(
				rows, whole, l.blocks, &dy[o*line], l.stride*line, &column[0], step*line,
				&dw[o*l.Slots], l.Slots, alpha, beta,
			)
		}
		if whole < n {
			l.code.dots(
				rows, dotCols, l.blocks, &dy[o*line], l.stride*line, &column[whole*line],
				step*line, &edge[0], dotCols, alpha, 0,
			)
			for r := range rows {
				row := dw[(o+r)*l.Slots+whole:][:n-whole]
				for s, v := range edge[r*dotCols:][:len(row)] {
					if beta != 0 {
						v += beta * row[s]
					}
					row[s] = v
				}
			}
		}
	}
}

// BackwardInput computes dx, the gradient at the input, after LoadGradient.
func (l *LocalLayer[T]) BackwardInput(w, dx []T) {
	l.check("w", w, l.Groups*l.Positions*l.Out*l.Slots)
	l.check("dx", dx, l.n*l.Groups*l.Block)
	line := lanes[T]()
	if l.dx == nil {
		l.dx = make([]T, len(l.x))
	}
	Parallel(len(l.dx), 1<<16, func(lo, hi int) { clear(l.dx[lo:hi]) })
	// Positions read the same inputs: the work is shared out by parts of the
	// slots, so that each weight is read by one thread, and by blocks of samples.
	parts := min(len(l.starts), ceilDiv(Threads(), max(1, l.Groups)))
	shares := max(1, min(l.blocks, ceilDiv(Threads(), max(1, l.Groups*parts))))
	Parallel(l.Groups*parts*shares, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, part, share := i/shares/parts, i/shares%parts, i%shares
			first := l.starts[len(l.starts)*part/parts]
			last := l.end(len(l.starts)*(part+1)/parts - 1)
			l.backwardInput(g, first, last, l.blocks*share/shares, l.blocks*(share+1)/shares, w)
		}
	})
	strips := ceilDiv(l.Block, strip)
	size := l.Groups * l.Block
	Parallel(l.Groups*l.blocks*strips, 1+1<<14/(strip*line), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, b, q := i/strips/l.blocks, i/strips%l.blocks, i%strips*strip
			from := l.dx[((g*l.blocks+b)*l.lines+lineOf(q))*line:]
			storeLines(min(strip, l.Block-q), min(line, l.n-b*line), from, dx[b*line*size+g*l.Block+q:], size)
		}
	})
}

// backwardInput adds up what slots s0 to s1 contribute for blocks b0 to b1.
func (l *LocalLayer[T]) backwardInput(g, s0, s1, b0, b1 int, w []T) {
	line := lanes[T]()
	// As many positions at a time as have weights that fit in a quarter of a
	// second-level cache (1 MiB), where all blocks meet them.
	positions := max(1, 256<<10/(lineBytes/line*max(1, l.Out*(s1-s0))))
	for from := 0; from < l.Positions; from += positions {
		for b := b0; b < b1; b++ {
			at := (g*l.blocks + b) * l.lines * line
			dx := l.dx[at : at+l.lines*line]
			for p := from; p < min(from+positions, l.Positions); p++ {
				table, dy := l.table[p*l.Slots+s0:p*l.Slots+s1], l.gradient(g, b, p)
				if l.code == nil {
					l.inputPlain(table, l.weights(w, g, p)[s0:], dy, dx)
					continue
				}
				l.code.input(s1-s0, l.Out, &table[0], &l.weights(w, g, p)[s0], l.Slots, &dy[0], &dx[0])
			}
		}
	}
}

func (l *LocalLayer[T]) weights(w []T, g, p int) []T {
	size := l.Out * l.Slots
	at := (g*l.Positions + p) * size
	return w[at : at+size]
}
