package shape

import (
	"fmt"

	"efcn/onnxio"
)

// Window is the resolved geometry of a convolution or pooling over its spatial
// axes; every slice has one entry for each. Output position p and kernel tap t
// of axis i meet input position p·Stride[i] + t·Dilation[i] - PadBegin[i]; a
// tap that falls outside [0, In[i]) is in the padding. With ceil_mode the last
// window may reach past the end padding as well.
type Window struct {
	In, Kernel, Stride, Dilation, PadBegin, PadEnd, Out []int64
}

// WindowSpec is a geometry as the attributes of a node give it. In and Kernel
// have one entry for each spatial axis; what is nil has ONNX's default.
type WindowSpec struct {
	In, Kernel         []int64
	Strides, Dilations []int64 // nil: all 1
	Pads               []int64 // begin of every axis, then end of every axis; nil: all 0
	AutoPad            string  // "", NOTSET, VALID, SAME_UPPER or SAME_LOWER
	CeilMode           bool
}

// ResolveWindow computes explicit pads and output sizes by the rules of Conv-22
// and MaxPool-22 (onnx.ai/onnx/operators): with explicit pads the output size
// is floor((in + pads - ((kernel-1)·dilation + 1)) / stride) + 1, or ceil of
// the quotient with ceil_mode, less the windows that would start in the end
// padding. It returns an error for lists of the wrong length, sizes that are
// not positive, negative pads, pads beside auto_pad, a kernel larger than the
// padded input, and auto_pad VALID with ceil_mode where the specification and
// ONNX Runtime 1.32 disagree.
func ResolveWindow(spec WindowSpec) (Window, error) {
	n := len(spec.In)
	if len(spec.Kernel) != n {
		return Window{}, fmt.Errorf("kernel_shape %v has %d values; the input has %d spatial axes", spec.Kernel,
			len(spec.Kernel), n)
	}
	w, err := spec.defaults()
	if err != nil {
		return Window{}, err
	}
	for i := range n {
		if err := w.resolveAxis(spec, i); err != nil {
			return Window{}, fmt.Errorf("spatial axis %d: %w", i, err)
		}
	}
	return w, nil
}

// defaults returns the window with every list there and of the right length;
// Out is 0.
func (spec WindowSpec) defaults() (Window, error) {
	n := len(spec.Kernel)
	w := Window{In: spec.In, Kernel: spec.Kernel, Out: make([]int64, n)}
	var err error
	if w.Stride, err = positive("strides", spec.Strides, n); err != nil {
		return w, err
	}
	if w.Dilation, err = positive("dilations", spec.Dilations, n); err != nil {
		return w, err
	}
	if _, err = positive("kernel_shape", spec.Kernel, n); err != nil {
		return w, err
	}
	pads := spec.Pads
	if pads == nil {
		pads = make([]int64, 2*n)
	}
	if len(pads) != 2*n {
		return w, fmt.Errorf("pads: want %d values, got %d", 2*n, len(pads))
	}
	automatic := false
	switch spec.AutoPad {
	case "", "NOTSET":
	case "VALID", "SAME_UPPER", "SAME_LOWER":
		automatic = true
	default:
		return w, fmt.Errorf("auto_pad %q is not one of NOTSET, VALID, SAME_UPPER, SAME_LOWER", spec.AutoPad)
	}
	for _, p := range pads {
		if p < 0 {
			return w, fmt.Errorf("pads %v has a negative value; use a Slice to cut the input", pads)
		}
		if p != 0 && automatic {
			return w, fmt.Errorf("pads %v and auto_pad %s are both given; leave one out", pads, spec.AutoPad)
		}
	}
	w.PadBegin, w.PadEnd = append([]int64(nil), pads[:n]...), append([]int64(nil), pads[n:]...)
	return w, nil
}

func positive(name string, list []int64, n int) ([]int64, error) {
	if list == nil {
		list = make([]int64, n)
		for i := range list {
			list[i] = 1
		}
		return list, nil
	}
	if len(list) != n {
		return nil, fmt.Errorf("%s: want %d values, got %d", name, n, len(list))
	}
	for _, v := range list {
		if v < 1 {
			return nil, fmt.Errorf("%s %v has a value below 1", name, list)
		}
	}
	return list, nil
}

// extent returns the span of the dilated kernel, (kernel-1)·dilation + 1.
func (w *Window) extent(i int) (int64, error) {
	span, ok := mulInt(w.Kernel[i]-1, w.Dilation[i])
	if ok {
		span, ok = addInt(span, 1)
	}
	if !ok {
		return 0, fmt.Errorf("kernel %d with dilation %d: %w", w.Kernel[i], w.Dilation[i], onnxio.ErrTooLarge)
	}
	return span, nil
}

func (w *Window) resolveAxis(spec WindowSpec, i int) error {
	in, stride := w.In[i], w.Stride[i]
	extent, err := w.extent(i)
	if err != nil {
		return err
	}
	if spec.AutoPad == "SAME_UPPER" || spec.AutoPad == "SAME_LOWER" {
		if in == 0 {
			return nil
		}
		w.Out[i] = (in-1)/stride + 1
		// (out-1)·stride is below in, so only adding extent can overflow.
		sum, ok := addInt((w.Out[i]-1)*stride-in, extent)
		if !ok {
			return onnxio.ErrTooLarge
		}
		total := max(0, sum)
		w.PadBegin[i], w.PadEnd[i] = total/2, total-total/2
		if spec.AutoPad == "SAME_LOWER" {
			w.PadBegin[i], w.PadEnd[i] = w.PadEnd[i], w.PadBegin[i]
		}
		return nil
	}
	padded, ok := addInt(in, w.PadBegin[i])
	if ok {
		padded, ok = addInt(padded, w.PadEnd[i])
	}
	if !ok {
		return fmt.Errorf("input %d with pads %d and %d: %w", in, w.PadBegin[i], w.PadEnd[i], onnxio.ErrTooLarge)
	}
	room := padded - extent
	// With ceil_mode one more window may start that reaches past the end, even
	// where not one fits, but not in the end padding: PyTorch's rule, in the
	// text of the operators since version 22.
	windows, over := int64(0), room > -stride
	if room >= 0 {
		windows, over = room/stride+1, room%stride != 0
	}
	if start, ok := mulInt(windows, stride); spec.CeilMode && over && ok && start < in+w.PadBegin[i] {
		if spec.AutoPad == "VALID" {
			return fmt.Errorf("auto_pad VALID with ceil_mode: the specification says %d windows, runtimes make "+
				"%d; give pads in place of auto_pad", windows, windows+1)
		}
		windows++
	}
	if windows == 0 {
		return fmt.Errorf("kernel %s is larger than the padded input %d", describeExtent(w.Kernel[i], extent), padded)
	}
	w.Out[i] = windows
	return nil
}

func describeExtent(kernel, extent int64) string {
	if kernel == extent {
		return fmt.Sprint(kernel)
	}
	return fmt.Sprintf("%d (%d with its dilation)", kernel, extent)
}

// ConvWindow returns the geometry of a Conv node from the shapes of its input
// [N, C, spatial...] and weights [O, C/group, kernel...].
func ConvWindow(n *onnxio.Node, x, w []int64) (Window, error) {
	if len(x) < 3 || len(w) != len(x) {
		return Window{}, fmt.Errorf("input %v and weights %v must have one rank, at least 3", x, w)
	}
	spec, err := windowSpec(n, x[2:])
	if err != nil {
		return Window{}, err
	}
	if spec.Kernel == nil {
		spec.Kernel = w[2:]
	}
	if err := sameKernel(spec.Kernel, w[2:]); err != nil {
		return Window{}, err
	}
	return ResolveWindow(spec)
}

// PoolWindow returns the geometry of a MaxPool, AveragePool or LpPool node from
// the shape of its input [N, C, spatial...].
func PoolWindow(n *onnxio.Node, x []int64) (Window, error) {
	if len(x) < 3 {
		return Window{}, fmt.Errorf("input %v has rank %d; want at least 3", x, len(x))
	}
	spec, err := windowSpec(n, x[2:])
	if err != nil {
		return Window{}, err
	}
	if spec.Kernel == nil {
		return Window{}, fmt.Errorf("attribute kernel_shape is missing")
	}
	return ResolveWindow(spec)
}

func sameKernel(attribute, weights []int64) error {
	for i, k := range weights {
		if len(attribute) != len(weights) || attribute[i] != k {
			return fmt.Errorf("kernel_shape %v differs from the weights' %v", attribute, weights)
		}
	}
	return nil
}

// windowSpec reads the attributes that convolutions and poolings share.
func windowSpec(n *onnxio.Node, in []int64) (WindowSpec, error) {
	spec := WindowSpec{In: in}
	var err error
	for _, a := range []struct {
		name string
		to   *[]int64
	}{
		{"kernel_shape", &spec.Kernel},
		{"strides", &spec.Strides},
		{"dilations", &spec.Dilations},
		{"pads", &spec.Pads},
	} {
		if *a.to, err = n.Ints(a.name); err != nil {
			return spec, err
		}
	}
	if spec.AutoPad, err = n.String("auto_pad", "NOTSET"); err != nil {
		return spec, err
	}
	ceil, err := n.Int("ceil_mode", 0)
	if err != nil {
		return spec, err
	}
	if ceil != 0 && ceil != 1 {
		return spec, fmt.Errorf("attribute ceil_mode is %d; want 0 or 1", ceil)
	}
	spec.CeilMode = ceil == 1
	return spec, nil
}
