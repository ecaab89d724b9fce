package convert

import (
	"fmt"

	"efcn/convert/affine"
	"efcn/onnxio"
)

func init() {
	register("DepthToSpace", operator{becomes: "Gather on the vector", plan: planDepthToSpace, notNegative: sameSign})
	register("SpaceToDepth", operator{becomes: "Gather on the vector", plan: planSpaceToDepth, notNegative: sameSign})
}

// blocks reads what DepthToSpace and SpaceToDepth share: images and a blocksize.
func (pl *planner) blocks(n *onnxio.Node) (c, h, w, size int, err error) {
	in, err := pl.vector(n.Input(0))
	if err != nil {
		return 0, 0, 0, 0, err
	}
	b, err := n.Int("blocksize", 0)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	if len(in.dims) != 3 || b < 1 || b > 1<<15 {
		return 0, 0, 0, 0, fmt.Errorf("blocksize %d on N×%v: want a positive size and images", b, in.dims)
	}
	return in.dims[0], in.dims[1], in.dims[2], int(b), nil
}

// planDepthToSpace plans the move of channels into blocks of positions.
// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html, versions 1 to 13.
func planDepthToSpace(pl *planner, n *onnxio.Node) ([]*piece, error) {
	c, h, w, b, err := pl.blocks(n)
	if err != nil {
		return nil, err
	}
	mode, err := n.String("mode", "DCR")
	if err != nil {
		return nil, err
	}
	if c%(b*b) != 0 {
		return nil, fmt.Errorf("blocksize %d: %d channels are no multiple of its square", b, c)
	}
	all := affine.Everything([]int{c, h, w})
	depth := c / (b * b)
	switch mode {
	case "DCR":
		all = all.Reshape(b, b, depth, h, w).Permute([]int{2, 3, 0, 4, 1})
	case "CRD":
		all = all.Reshape(depth, b, b, h, w).Permute([]int{0, 3, 1, 4, 2})
	default:
		return nil, fmt.Errorf("mode %q: want DCR or CRD", mode)
	}
	return pl.selectFrom(n, n.Output(0), all.Reshape(depth, h*b, w*b), 0)
}

// planSpaceToDepth plans the move of blocks of positions into channels.
// https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html, versions 1 to 13.
func planSpaceToDepth(pl *planner, n *onnxio.Node) ([]*piece, error) {
	c, h, w, b, err := pl.blocks(n)
	if err != nil {
		return nil, err
	}
	if h%b != 0 || w%b != 0 {
		return nil, fmt.Errorf("blocksize %d does not divide %d×%d", b, h, w)
	}
	all := affine.Everything([]int{c, h, w}).Reshape(c, h/b, b, w/b, b).Permute([]int{2, 4, 0, 1, 3})
	return pl.selectFrom(n, n.Output(0), all.Reshape(c*b*b, h/b, w/b), 0)
}
