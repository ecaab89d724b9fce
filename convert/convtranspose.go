package convert

import (
	"fmt"

	"efcn/convert/affine"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func init() {
	register("ConvTranspose", operator{becomes: "a matrix (Gemm)", plan: planConvTranspose, layer: anyNode})
}

// planConvTranspose plans a transposed convolution of any number of spatial
// axes, with every attribute: its matrix is the transpose of a convolution's.
// https://onnx.ai/onnx/operators/onnx__ConvTranspose.html, versions 1 to 22.
func planConvTranspose(pl *planner, n *onnxio.Node) ([]*piece, error) {
	c, err := pl.convolution(n, shape.ConvTransposeWindow)
	if err != nil {
		return nil, err
	}
	if c.kernelDims[0] != int64(c.in.dims[0]) || int(c.kernelDims[1]*c.group) != c.out.dims[0] ||
		c.kernelDims[0]%c.group != 0 {
		return nil, fmt.Errorf("group %d: W of shape %v does not take %d channels to %d", c.group, c.kernelDims,
			c.in.dims[0], c.out.dims[0])
	}
	m := &affine.Map{
		Groups: int(c.group), InChannels: c.in.dims[0], OutChannels: c.out.dims[0],
		Taps: affine.ConvTransposeTaps(c.windows), Bias: c.bias,
	}
	m.Kernel = outputFirst(c.weights, m, int(c.kernelDims[1]))
	return pl.embed(n, m, c.record(), len(c.weights)+len(c.bias), true)
}

// outputFirst lays the kernel [in, out a group, k…] of a transposed convolution
// out as Map has it, [out, in a group, k…].
func outputFirst(w []float32, m *affine.Map, outPerGroup int) []float32 {
	inPerGroup, k := m.InChannels/m.Groups, m.Taps.Coefs
	kernel := make([]float32, len(w))
	for c := range m.InChannels {
		for o := range outPerGroup {
			out, in := c/inPerGroup*outPerGroup+o, c%inPerGroup
			copy(kernel[(out*inPerGroup+in)*k:][:k], w[(c*outPerGroup+o)*k:][:k])
		}
	}
	return kernel
}
