package finetune

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"efcn/convert/cut"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// gatherer lets rank 0 read arrays of which every rank of a World holds a slice, to write
// or to measure them: in the order of the whole array, a chunk at a time, for which it
// asks the others. nil is the gatherer of a run of one rank.
type gatherer[T kernel.Float] struct {
	world *mpi.World
	// part has the slices of this rank, by initializer. One that is not here is whole on
	// every rank, and the same.
	part  map[string]cut.Slice
	whole *onnxio.Model // that is cut, with constants folded
	// own returns what this rank holds of an initializer, or of a list of the optimiser's
	// state for it.
	own func(of source) ([]T, error)
	// chunk is how many bytes of a whole array are asked for at once; 0 means gatherChunk.
	chunk int

	answered bool  // of rank 0: the others answer
	asked    []int // of rank 0: ranks whose answer has not been received
}

// source is an initializer under training, or a list of the optimiser's state for it.
type source struct {
	Name string
	List int // 0 for the initializer, else the number of the list, from 1
}

// question is what rank 0 asks of a rank: elements From to Until of the own slice, in
// Size bytes each. With Done there are no more questions.
type question struct {
	source
	Size, From, Until int

	Done     bool
	Failed   string // why what rank 0 did failed, "" if it did not
	Canceled bool   // it failed as its context was done
}

// An answer begins with one of these. Elements follow, or the text of an error.
const (
	answerElements = iota
	answerError
)

// gatherChunk makes the messages so large that their number costs nothing.
const gatherChunk = 4 << 20

// atRoot calls f on rank 0, which may read what data returned, while the other ranks
// answer. All return once f has, with its error: an *mpi.RankError on the other ranks,
// which is the context's too if f's is.
func (g *gatherer[T]) atRoot(ctx context.Context, f func() error) error {
	if g == nil {
		return f()
	}
	// A call that ctx ends half-way would leave the other ranks waiting.
	ctx = context.WithoutCancel(ctx)
	if g.world.Rank() != 0 {
		return g.answer(ctx)
	}
	g.answered = true
	err := f()
	g.answered = false
	done := question{Done: true}
	if err != nil {
		done.Failed = err.Error()
		done.Canceled = errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	}
	for rank := 1; rank < g.world.Size(); rank++ {
		if failed := g.send(ctx, rank, done); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return err
}

// answer answers the questions of rank 0 until there are no more.
func (g *gatherer[T]) answer(ctx context.Context) error {
	for {
		text, err := g.world.Recv(ctx, 0)
		if err != nil {
			return err
		}
		var q question
		if err := json.Unmarshal(text, &q); err != nil {
			return err
		}
		if q.Done {
			return q.outcome()
		}
		answer := []byte{answerElements}
		if values, err := g.own(q.source); err != nil {
			answer = append([]byte{answerError}, err.Error()...)
		} else {
			answer = appendFloats(slices.Grow(answer, q.Size*(q.Until-q.From)), q.Size, values[q.From:q.Until])
		}
		if err := g.world.Send(ctx, 0, answer); err != nil {
			return err
		}
	}
}

// outcome is the error of rank 0.
func (q *question) outcome() error {
	if q.Failed == "" {
		return nil
	}
	err := error(&mpi.RankError{Rank: 0, Text: q.Failed})
	if q.Canceled {
		err = fmt.Errorf("%w (%w)", err, context.Canceled)
	}
	return err
}

func (g *gatherer[T]) send(ctx context.Context, rank int, q question) error {
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return g.world.Send(ctx, rank, text)
}

// AtRoot calls f on rank 0 of w, where it can read and write m, while the other ranks hand
// over what they have of m: a model that [Train] or Epoch.Model returned on these ranks. All
// of them have to call it, and get f's error: an *mpi.RankError where they are not rank 0.
// Where w is nil it calls f.
func AtRoot(ctx context.Context, w *mpi.World, m *onnxio.Model, f func() error) error {
	if w == nil {
		return f()
	}
	tensors := slices.Clone(m.Graph.Initializers)
	for _, s := range m.Graph.SparseConstants() {
		tensors = append(tensors, s.Values)
	}
	for _, t := range tensors {
		if d, ok := t.Data.(interface {
			atRoot(context.Context, func() error) error
		}); ok {
			return d.atRoot(ctx, f)
		}
	}
	g := &gatherer[float32]{world: w} // nothing is cut
	return g.atRoot(ctx, f)
}

// job is the World of all ranks of the run; nil for a run of one.
func (g *gatherer[T]) job() *mpi.World {
	if g == nil {
		return nil
	}
	return g.world
}

// array returns the whole array of which this rank has a slice; nil where it has all, as
// every rank does.
func (g *gatherer[T]) array(of source, size int) *gathered[T] {
	if g == nil || len(g.part[of.Name].Bounds) == 0 {
		return nil
	}
	return &gathered[T]{g, of, size}
}

// content returns the values of an initializer of the whole model, of which these are this
// rank's.
func (g *gatherer[T]) content(init *onnxio.Tensor, name string, values []T) onnxio.Data {
	if d := g.array(source{name, 0}, int(init.Type.Size())); d != nil {
		return d
	}
	return content(init, name, values)
}

// gathered is the content of a whole array, of which each rank holds a slice. It is read
// within atRoot, on rank 0.
type gathered[T kernel.Float] struct {
	*gatherer[T]
	source
	size int // bytes of an element
}

// elements is how many the whole array has.
func (d *gathered[T]) elements() int {
	s := d.part[d.Name]
	return s.Outer * s.Axis * s.Inner
}

func (d *gathered[T]) Len() int64 { return int64(d.size) * int64(d.elements()) }

func (d *gathered[T]) WriteTo(w io.Writer) (written int64, err error) {
	if !d.answered {
		return 0, fmt.Errorf("%q lies on %d ranks, which have to take part in reading it", d.Name, d.world.Size())
	}
	own, err := d.own(d.source)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.drain())
		}
	}()
	write := func(b *block) error {
		n, err := w.Write(b.joined(d.size))
		written += int64(n)
		return err
	}
	var before *block
	for b := range blocks(d.part[d.Name], max(1, cmp.Or(d.chunk, gatherChunk)/d.size)) {
		// A rank is asked again once it has answered, and works while this one writes.
		if before != nil {
			if err := d.receive(before); err != nil {
				return written, err
			}
		}
		if err := d.ask(b, own); err != nil {
			return written, err
		}
		if before != nil {
			if err := write(before); err != nil {
				return written, err
			}
		}
		before = b
	}
	if before == nil {
		return written, nil
	}
	if err := d.receive(before); err != nil {
		return written, err
	}
	return written, write(before)
}

// drain receives the answers that are still to come, which the next reading would take for
// its own.
func (d *gathered[T]) drain() error {
	for len(d.asked) > 0 {
		rank := d.asked[0]
		d.asked = d.asked[1:]
		if _, err := d.world.Recv(context.Background(), rank); err != nil {
			return err
		}
	}
	return nil
}

// ask asks the ranks for their pieces of a block, and takes the own one.
func (d *gathered[T]) ask(b *block, own []T) error {
	for i := range b.pieces {
		p := &b.pieces[i]
		if p.rank == 0 {
			p.content = appendFloats(nil, d.size, own[p.from:p.until])
			continue
		}
		q := question{source: d.source, Size: d.size, From: p.from, Until: p.until}
		if err := d.send(context.Background(), p.rank, q); err != nil {
			return err
		}
		d.asked = append(d.asked, p.rank)
	}
	return nil
}

// receive receives the pieces of the block that was asked for last.
func (d *gathered[T]) receive(b *block) error {
	for i := range b.pieces {
		p := &b.pieces[i]
		if p.rank == 0 {
			continue
		}
		answer, err := d.world.Recv(context.Background(), p.rank)
		d.asked = d.asked[1:]
		switch {
		case err != nil:
			return err
		case len(answer) > 0 && answer[0] == answerError:
			return &mpi.RankError{Rank: p.rank, Text: string(answer[1:])}
		case len(answer) != 1+d.size*(p.until-p.from):
			return fmt.Errorf("%q: rank %d answers in %d bytes, want %d elements of %d", d.Name, p.rank, len(answer),
				p.until-p.from, d.size)
		}
		p.content = answer[1:]
	}
	return nil
}

// block is a part of a whole array: rows of it, or a part of one row.
type block struct {
	rows   int
	pieces []piece // one of each rank that has some of it, in order
}

// piece is what a rank has of a block: elements from to until of its slice.
type piece struct {
	rank, from, until int
	content           []byte
}

// joined returns the content of the block, in elements of so many bytes.
func (b *block) joined(size int) []byte {
	if len(b.pieces) == 1 {
		return b.pieces[0].content
	}
	var all []byte
	for row := range b.rows {
		for _, p := range b.pieces {
			n := size * (p.until - p.from) / b.rows
			all = append(all, p.content[row*n:(row+1)*n]...)
		}
	}
	return all
}

// blocks yields the blocks of the array that s is a slice of, of at most most elements
// each, in the order of the array.
func blocks(s cut.Slice, most int) iter.Seq[*block] {
	return func(yield func(*block) bool) {
		row := s.Axis * s.Inner
		if row == 0 {
			return
		}
		for first := 0; first < s.Outer; {
			rows := min(max(1, most/row), s.Outer-first)
			b := &block{rows: rows}
			for rank := range len(s.Bounds) - 1 {
				width := (s.Bounds[rank+1] - s.Bounds[rank]) * s.Inner
				if width == 0 {
					continue
				}
				from, until := first*width, (first+rows)*width
				if row <= most {
					b.pieces = append(b.pieces, piece{rank: rank, from: from, until: until})
					continue
				}
				for ; from < until; from += most {
					if !yield(&block{1, []piece{{rank: rank, from: from, until: min(until, from+most)}}}) {
						return
					}
				}
			}
			if len(b.pieces) > 0 && !yield(b) {
				return
			}
			first += rows
		}
	}
}
