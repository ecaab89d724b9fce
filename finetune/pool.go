package finetune

import (
	"math"
	"slices"

	"efcn/internal/kernel"
	"efcn/onnxio/shape"
)

func init() {
	maxima := func(o *operator) { o.maxima = true }
	register("MaxPool", emitMaxPool[float32], emitMaxPool[float64], maxima)
	register("AveragePool", emitAveragePool[float32], emitAveragePool[float64])
	register("GlobalMaxPool", emitGlobalMaxPool[float32], emitGlobalMaxPool[float64], maxima)
	register("GlobalAveragePool", emitGlobalAveragePool[float32], emitGlobalAveragePool[float64])
}

// maxPool takes the maximum of each window of so many planes. With rectify it
// is that of the ReLU of its input: max(relu(x)) = relu(max(x)), and what is
// rectified, forward and backward, is then the smaller of the two.
type maxPool[T kernel.Float] struct {
	window  kernel.Window
	planes  int
	argmax  []int32
	rectify bool
	empty   bool // a window may lie wholly in the padding: its maximum is -Inf
}

func newMaxPool[T kernel.Float](w kernel.Window, planes int, rectify bool) *maxPool[T] {
	m := &maxPool[T]{window: w, planes: planes, argmax: make([]int32, planes*w.OutSize()), rectify: rectify}
	for a, pad := range w.PadBegin {
		m.empty = m.empty || pad >= w.Kernel[a] || pad > 0 && w.Dilation[a] > 1 || (w.Out[a]-1)*w.Stride[a]-pad >= w.In[a]
	}
	return m
}

func (m *maxPool[T]) forward(in [][]T, y []T) {
	kernel.MaxPool(m.window, m.planes, in[0], y, m.argmax)
	if !m.rectify {
		return
	}
	kernel.Parallel(len(y), elementGrain, func(lo, hi int) { kernel.Clip(y[lo:hi], y[lo:hi], 0, T(math.Inf(1))) })
	for i := 0; m.empty && i < len(y); i++ {
		if m.argmax[i] < 0 {
			y[i] = T(math.Inf(-1))
		}
	}
}

func (m *maxPool[T]) needs() needs { return needs{output: m.rectify} }

func (m *maxPool[T]) backward(p pass[T]) {
	if m.rectify { // in place: nobody else reads the gradient at this output
		kernel.Parallel(len(p.dout), elementGrain,
			func(lo, hi int) { kernel.Gate(p.dout[lo:hi], p.out[lo:hi], p.dout[lo:hi]) })
	}
	kernel.MaxPoolBackward(m.window, m.planes, p.dout, m.argmax, p.din[0])
}

// averagePool takes the mean of each window of so many planes.
type averagePool[T kernel.Float] struct {
	window     kernel.Window
	includePad bool
	planes     int
}

func (a *averagePool[T]) forward(in [][]T, y []T) {
	kernel.AveragePool(a.window, a.includePad, a.planes, in[0], y)
}

func (a *averagePool[T]) needs() needs { return needs{} }

func (a *averagePool[T]) backward(p pass[T]) {
	kernel.AveragePoolBackward(a.window, a.includePad, a.planes, p.dout, p.din[0])
}

// pooledAlone reports whether a single node reads output 0, through any reshapes, and
// that it takes maxima.
func (n *node[T]) pooledAlone() bool {
	name := n.Output(0)
	for _, reader := range n.b.t.nodes {
		if !slices.Contains(reader.Inputs, name) {
			continue
		}
		switch {
		case n.b.t.links.Uses(name) != 1 || n.b.t.chains[reader] != nil:
			return false
		case operatorOf(reader).reshapes:
			name = reader.Output(0)
		default:
			return operatorOf(reader).maxima
		}
	}
	return false
}

func emitMaxPool[T kernel.Float](n *node[T]) error {
	if n.Output(1) != "" {
		return n.Errorf("output 1, the indices, is in use; only the first can be trained through")
	}
	x, w, err := n.pool()
	if err != nil {
		return err
	}
	return n.emit(newMaxPool[T](w, n.b.a.net.batch*x.shape[0], x.rectify), append([]int{x.shape[0]}, w.Out...), []value{x})
}

func emitAveragePool[T kernel.Float](n *node[T]) error {
	include, err := n.Int("count_include_pad", 0)
	if err != nil {
		return n.Wrap(err)
	}
	x, w, err := n.pool()
	if err != nil {
		return err
	}
	l := &averagePool[T]{w, include != 0, n.b.a.net.batch * x.shape[0]}
	return n.emit(l, append([]int{x.shape[0]}, w.Out...), []value{x})
}

// pool reads what MaxPool and AveragePool have in common.
func (n *node[T]) pool() (value, kernel.Window, error) {
	x, err := n.activation(0)
	if err != nil {
		return value{}, kernel.Window{}, err
	}
	w, err := shape.PoolWindow(n.Node, n.withBatch(x))
	if err != nil {
		return value{}, kernel.Window{}, n.Wrap(err)
	}
	window := toWindow(w)
	return x, window, n.Wrap(window.Validate())
}

// global returns the window that covers a whole plane of size elements.
func global(size int) kernel.Window {
	return kernel.Window{
		In: []int{size}, Kernel: []int{size}, Stride: []int{1}, Dilation: []int{1},
		PadBegin: []int{0}, PadEnd: []int{0}, Out: []int{1},
	}
}

func emitGlobalMaxPool[T kernel.Float](n *node[T]) error {
	x, out, err := n.planes()
	if err != nil {
		return err
	}
	return n.emit(newMaxPool[T](global(product(x.shape[1:])), n.b.a.net.batch*x.shape[0], x.rectify), out, []value{x})
}

func emitGlobalAveragePool[T kernel.Float](n *node[T]) error {
	x, out, err := n.planes()
	if err != nil {
		return err
	}
	l := &averagePool[T]{window: global(product(x.shape[1:])), planes: n.b.a.net.batch * x.shape[0]}
	return n.emit(l, out, []value{x})
}

// planes returns the input of a pooling over whole planes and its output shape.
func (n *node[T]) planes() (value, []int, error) {
	x, err := n.activation(0)
	if err != nil {
		return value{}, nil, err
	}
	if len(x.shape) < 2 {
		return value{}, nil, n.Errorf("the input has shape %v a sample; want channels and spatial axes", x.shape)
	}
	out, err := n.outputShape()
	return x, out, err
}
