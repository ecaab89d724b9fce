// Package engines runs models in any of the engines that efcn knows: its own,
// ONNX Runtime, and onnx-go.
//
// Start with [Options.Open]. An array that goes in or comes out is an
// [onnxio.Tensor] with the name of the model's input or output.
package engines

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/internal/onnxgo"
	"efcn/internal/ort"
	"efcn/onnxio"
)

// The engines.
const (
	Embedded    = "embedded"    // internal/engine
	ONNXRuntime = "onnxruntime" // internal/ort
	OnnxGo      = "onnx-go"     // internal/onnxgo
)

// Names returns the names of all engines.
func Names() []string { return []string{Embedded, ONNXRuntime, OnnxGo} }

// Options say how models are run.
type Options struct {
	// Float64 computes in double precision whatever type the model declares, which
	// only the embedded engine does. Default false: in single precision there; the
	// others compute in the types that the model declares.
	Float64 bool
	// Library is the shared library of ONNX Runtime. Default "": it is looked for,
	// see ort.Load.
	Library string
	// Threads is how many threads ONNX Runtime may use. The embedded engine and
	// onnx-go do not look at it. Default 0: as many as ONNX Runtime likes.
	Threads int
	// World is the ranks that run a model together, of which each has its part of it:
	// see convert/cut. Only the embedded engine does that. Default nil: this process
	// alone.
	World *mpi.World
	// Pack lets the embedded engine compute from packed copies of weights, which must not
	// change while the session is open, and several nodes at once; see
	// [engine.Engine.Pack]. Default false: node by node, as the file has them.
	Pack bool
}

// Session is a model made ready in one engine. One goroutine at a time may use it.
type Session struct {
	name, version string
	inputs        []*onnxio.ValueInfo
	run           func(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error)
	lend          func(memory [][]float32) // nil where the engine has no use for it
	close         func() error
}

// Open makes m ready in the engine of that name. What the engine does not support
// is an error that names the engine and, where it can be told, the node. m must
// not be modified while the session is in use.
//
// ONNX Runtime reads the file m.Path again, so a model that was changed after it
// was read must have its Path cleared.
func (o Options) Open(ctx context.Context, name string, m *onnxio.Model) (*Session, error) {
	if o.Float64 && name != Embedded {
		return nil, fmt.Errorf("engine %s does not compute a model in another precision than its own; %s does", name,
			Embedded)
	}
	if o.World != nil && name != Embedded {
		return nil, fmt.Errorf("engine %s runs a model in one process; %s does on several ranks", name, Embedded)
	}
	switch name {
	case Embedded:
		if o.Float64 {
			return openEmbedded[float64](o, m)
		}
		return openEmbedded[float32](o, m)
	case ONNXRuntime:
		library, err := ort.Load(o.Library)
		if err != nil {
			return nil, err
		}
		s, err := library.Open(ctx, m, o.Threads)
		if err != nil {
			return nil, err
		}
		return &Session{
			name, fmt.Sprintf("%s on %d threads", library, o.Threads), m.Graph.FeedInputs(), s.Run, nil,
			s.Close,
		}, nil
	case OnnxGo:
		if err := onnxgo.Check(m); err != nil {
			return nil, first(err)
		}
		run := func(_ context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
			return onnxgo.Run(m, inputs)
		}
		return &Session{name, "onnx-go with gorgonnx", m.Graph.FeedInputs(), run, nil, nothing}, nil
	default:
		return nil, fmt.Errorf("no engine is called %q; %s are", name, strings.Join(Names(), ", "))
	}
}

// Name returns the engine's name.
func (s *Session) Name() string { return s.name }

// String says which engine it is, with its version and library.
func (s *Session) String() string { return s.version }

// Lend gives the session memory to compute in, which every Run overwrites: it is
// the caller's between runs. Only the embedded engine makes use of it, in single
// precision.
func (s *Session) Lend(memory [][]float32) {
	if s.lend != nil {
		s.lend(memory)
	}
}

// Close frees what the session holds.
func (s *Session) Close() error { return s.close() }

// Run computes the outputs, in the graph's order, from an array for each input, in
// any order. An array of floating point is converted to the type that the model
// declares; integers and bools have to be of it. The results may share memory
// with the inputs.
func (s *Session) Run(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	in := make([]*onnxio.Tensor, len(s.inputs))
	for i, v := range s.inputs {
		at := slices.IndexFunc(inputs, func(t *onnxio.Tensor) bool { return t.Name == v.Name })
		if at < 0 {
			return nil, fmt.Errorf("input %q is missing", v.Name)
		}
		t, err := converted(inputs[at], v.Type.Elem)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", v.Name, err)
		}
		in[i] = t
	}
	if len(inputs) > len(in) {
		return nil, fmt.Errorf("%d arrays; the model has %d inputs", len(inputs), len(in))
	}
	return s.run(ctx, in)
}

// converted returns t as an array of the type want.
func converted(t *onnxio.Tensor, want onnxio.DataType) (*onnxio.Tensor, error) {
	switch {
	case want == t.Type || want == onnxio.Undefined:
		return t, nil
	case !want.IsFloat() || !t.Type.IsFloat():
		return nil, fmt.Errorf("want %s, got %s", want, t.Type)
	}
	v, err := engine.FromONNX[float64](t)
	if err != nil {
		return nil, err
	}
	v.Type = want
	return engine.ToONNX(t.Name, v), nil
}

func openEmbedded[T kernel.Float](o Options, m *onnxio.Model) (*Session, error) {
	e, err := engine.NewOver[T](o.World, m)
	if err != nil {
		return nil, first(err)
	}
	if o.Pack {
		e.Pack()
	}
	run := func(ctx context.Context, inputs []*onnxio.Tensor) ([]*onnxio.Tensor, error) {
		feeds := make(map[string]*engine.Tensor[T], len(inputs))
		for _, in := range inputs {
			v, err := engine.ViewONNX[T](in)
			if err != nil {
				return nil, fmt.Errorf("input %q: %w", in.Name, err)
			}
			feeds[in.Name] = v
		}
		results, err := e.Run(ctx, feeds)
		if err != nil {
			return nil, err
		}
		outputs := make([]*onnxio.Tensor, len(m.Graph.Outputs))
		for i, v := range m.Graph.Outputs {
			y := *results[v.Name]
			if _, double := any(y.F).([]float64); double && y.Type.IsFloat() {
				y.Type = onnxio.Float64
			}
			outputs[i] = engine.ToONNX(v.Name, &y)
		}
		return outputs, nil
	}
	var lend func([][]float32)
	if single, ok := any(e).(*engine.Engine[float32]); ok {
		lend = single.Lend
	}
	return &Session{
		Embedded, fmt.Sprintf("matrix products by %s on %d threads", kernel.BLAS(), kernel.Threads()),
		e.Inputs(), run, lend, e.Close,
	}, nil
}

func nothing() error { return nil }

// first returns the first of errors that were joined.
func first(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
		return joined.Unwrap()[0]
	}
	return err
}
