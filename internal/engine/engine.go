// Package engine runs ONNX graphs in float32 or float64.
//
// Start with [New], which makes a model ready and names every node that cannot
// be run, and [Engine.Run]. [Evaluate] runs one node on constants.
//
// The engine is what converted models are checked with: it reads the attributes of
// nodes for itself, and shares no reading of them with convert and its shape
// inference, nor with convert/verify.
//
// Every operator is one file: it registers itself with the versions of its
// schema that it knows, reads its attributes once, when an engine is built, and
// returns the function that computes. The engine checks what all operators
// have in common (number and element types of the inputs) and frees a value
// after its last use.
//
// Floating-point values are held at the engine's precision whatever type the
// model declares, so a float32 model runs in float64 without a Cast changing
// its precision. Casts to float16 and bfloat16 do round. Integers are held as
// int64 and wrap at the width that their type declares; uint64 is held as the
// int64 of the same bits.
//
// A matrix that is stored sparse, and that products alone read, is multiplied by
// as it is stored: see [SparseFactors].
package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// Engine is a model made ready to run at one precision. It may be used by
// several goroutines at once.
type Engine[T kernel.Float] struct {
	graph    *program[T]
	feeds    []*onnxio.ValueInfo
	unread   map[string]bool // of them, those that no node reads
	elements int             // the most elements that a value may have
	arenas   sync.Pool       // of *arena[T], between runs
	lent     atomic.Pointer[arena[T]]
	ranks    *gathering[T]
	packed   bool
}

// New makes m ready. Every node that the engine cannot run is named in the
// error (errors.Join of onnxio.NodeError). m is not modified, and must not be
// while the engine is in use: external data is read when a run needs it. The
// elements of a weight that m holds as a slice of T (onnxio.NewTensor) are used
// where they are; between runs they may change.
func New[T kernel.Float](m *onnxio.Model) (*Engine[T], error) {
	if m.Graph == nil {
		return nil, errors.New("the model has no graph")
	}
	if len(m.Functions) > 0 {
		inlined, err := m.Inline()
		if err != nil {
			return nil, err
		}
		m = inlined
	}
	p, err := compile[T](m.Graph, opsets(m.Opsets), nil)
	if err != nil {
		return nil, err
	}
	e := &Engine[T]{graph: p, feeds: m.Graph.FeedInputs(), unread: make(map[string]bool), elements: maxElements}
	for _, name := range m.Graph.UnreadInputs() {
		e.unread[name] = true
	}
	return e, nil
}

// NewOver is New for the model of one of several ranks, see convert/cut. All ranks of w
// make the same runs, in one order. [Engine.Close] frees what they send from.
func NewOver[T kernel.Float](w *mpi.World, m *onnxio.Model) (*Engine[T], error) {
	e, err := New[T](m)
	if err == nil && w != nil {
		e.ranks = &gathering[T]{world: w}
	}
	return e, err
}

// Close frees the memory of MPI that an engine over several ranks has; any other has
// nothing to close.
func (e *Engine[T]) Close() error {
	if e.ranks == nil {
		return nil
	}
	return e.ranks.free()
}

// Inputs returns the declarations of the values that Run needs, in order.
func (e *Engine[T]) Inputs() []*onnxio.ValueInfo { return e.feeds }

// Run computes the graph's outputs from its inputs, both by name. An input that no
// node reads may be left out. The results
// may share memory with the feeds and with constants of the model.
func (e *Engine[T]) Run(ctx context.Context, feeds map[string]*Tensor[T]) (map[string]*Tensor[T], error) {
	return e.Observe(ctx, feeds, nil)
}

// Lend gives runs memory to compute in before they ask for their own. What it
// holds is overwritten by every run; it belongs to the caller between runs.
func (e *Engine[T]) Lend(memory [][]T) {
	a := &arena[T]{}
	for _, m := range memory {
		if len(m) >= smallest {
			a.free = append(a.free, &buffer[T]{data: m})
		}
	}
	e.lent.Store(a)
}

// Observe is Run, and calls see with every value that a node computes, in the
// order of the graph. A value is only valid during the call; an error from see
// ends the run.
func (e *Engine[T]) Observe(ctx context.Context, feeds map[string]*Tensor[T],
	see func(name string, v *Tensor[T]) error,
) (map[string]*Tensor[T], error) {
	for _, in := range e.feeds {
		v, ok := feeds[in.Name]
		if !ok && e.unread[in.Name] {
			continue
		}
		if !ok || v == nil {
			return nil, fmt.Errorf("input %q is missing", in.Name)
		}
		if err := matches(in, v); err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
	}
	for name := range feeds {
		if !slices.Contains(e.graph.inputs, name) {
			return nil, fmt.Errorf("the model has no input %q", name)
		}
	}
	x := &exec[T]{ctx: ctx, elements: e.elements, see: see, ranks: e.ranks}
	var lent *arena[T]
	if see == nil {
		x.packed = e.packed
		// What an observer sees may be kept by mistake; it gets memory of its own.
		if lent = e.lent.Swap(nil); lent != nil {
			x.memory = lent
		} else if x.memory, _ = e.arenas.Get().(*arena[T]); x.memory == nil {
			x.memory = &arena[T]{}
		}
	}
	values, err := e.graph.run(x, func(name string) *Tensor[T] { return feeds[name] })
	if err != nil {
		return nil, err
	}
	if x.memory != nil {
		left := &arena[T]{free: x.memory.free}
		if lent != nil {
			e.lent.Store(left)
		} else {
			e.arenas.Put(left)
		}
	}
	out := make(map[string]*Tensor[T], len(values))
	for i, v := range values {
		out[e.graph.outputs[i]] = v
	}
	return out, nil
}

// matches checks a fed tensor against its declaration and against itself.
func matches[T kernel.Float](in *onnxio.ValueInfo, v *Tensor[T]) error {
	if err := v.Validate(); err != nil {
		return err
	}
	if in.Type.Elem != onnxio.Undefined && in.Type.Elem != v.Type {
		return fmt.Errorf("want %s, got %s", in.Type.Elem, v.Type)
	}
	if !in.Type.HasShape {
		return nil
	}
	fits := len(v.Shape) == len(in.Type.Shape)
	for i := 0; fits && i < len(v.Shape); i++ {
		d := in.Type.Shape[i]
		fits = !d.Known() || d.Value == int64(v.Shape[i])
	}
	if !fits {
		return fmt.Errorf("want shape %s, got %v", in.Type.Shape, v.Shape)
	}
	return nil
}

// RunNode runs the single node n of operator-set version opset on inputs, which
// match n.Inputs (nil where an optional one is left out). The result has a
// value for each of n.Outputs, nil for those without a name.
func RunNode[T kernel.Float](n *onnxio.Node, opset int64, inputs []*Tensor[T]) ([]*Tensor[T], error) {
	s, err := prepare[T](n, map[string]int64{"": opset})
	if err != nil {
		return nil, err
	}
	for i, in := range inputs {
		if in == nil {
			continue
		}
		if err := in.Validate(); err != nil {
			return nil, n.Errorf("input %d: %w", i, err)
		}
	}
	in := make([]*Tensor[T], max(len(inputs), s.op.slots()))
	copy(in, inputs)
	return s.run(&exec[T]{ctx: context.Background(), elements: maxElements}, in)
}

// opsets returns the operator-set versions by canonical domain.
func opsets(imports []onnxio.Opset) map[string]int64 {
	versions := make(map[string]int64, len(imports))
	for _, o := range imports {
		versions[onnxio.CanonicalDomain(o.Domain)] = o.Version
	}
	return versions
}

// constant is an initializer that is converted when first used. Those that fit
// the model's budget are kept; larger ones are read again in every run, so that
// a model larger than memory runs as long as each of its layers fits.
type constant[T kernel.Float] struct {
	name string
	load func() (*Tensor[T], error)
	keep bool

	once  sync.Once
	value *Tensor[T]
	err   error
}

func (c *constant[T]) get() (*Tensor[T], error) {
	if !c.keep {
		return c.fetch()
	}
	c.once.Do(func() { c.value, c.err = c.fetch() })
	return c.value, c.err
}

func (c *constant[T]) fetch() (*Tensor[T], error) {
	v, err := c.load()
	if err != nil {
		return nil, fmt.Errorf("initializer %q: %w", c.name, err)
	}
	return v, nil
}
