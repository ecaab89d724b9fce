package verify

import (
	"fmt"

	"efcn/onnxio"
)

// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html
// https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html
func init() {
	register(
		operator{
			name: "DepthToSpace", moves: &movement{}, integers: passedOn, selection: blocksMoved,
			defaults: always(spelling{"mode": `"DCR"`}),
		},
		operator{name: "SpaceToDepth", moves: &movement{}, integers: passedOn, selection: blocksMoved},
	)
}

// blocksMoved: SpaceToDepth puts place (i,j) of every block of b×b into channel
// (i·b + j)·C + c; DepthToSpace takes it from there, or in mode CRD from channel
// c·b² + i·b + j.
// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html
// https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html
func blocksMoved(_ *structure, node *onnxio.Node, _ int, in []int) ([]int, error) {
	size, err := node.Int("blocksize", 0)
	if err != nil {
		return nil, err
	}
	mode, err := node.String("mode", "DCR")
	if err != nil {
		return nil, err
	}
	b := int(size)
	if len(in) != 4 || b < 1 || mode != "DCR" && mode != "CRD" {
		return nil, fmt.Errorf("blocksize %d, mode %q on %v", b, mode, in)
	}
	channels, height, width := in[1], in[2], in[3]
	from := make([]int, 0, channels*height*width)
	if node.OpType == "SpaceToDepth" {
		if height%b != 0 || width%b != 0 {
			return nil, fmt.Errorf("blocks of %d on %v", b, in)
		}
		for to := range channels * b * b {
			c, place := to%channels, to/channels
			for y := range height / b {
				for x := range width / b {
					from = append(from, (c*height+y*b+place/b)*width+x*b+place%b)
				}
			}
		}
		return from, nil
	}
	if channels%(b*b) != 0 {
		return nil, fmt.Errorf("blocks of %d on %v", b, in)
	}
	for c := range channels / (b * b) {
		for y := range height * b {
			for x := range width * b {
				place := y%b*b + x%b
				channel := place*(channels/(b*b)) + c
				if mode == "CRD" {
					channel = c*b*b + place
				}
				from = append(from, (channel*height+y/b)*width+x/b)
			}
		}
	}
	return from, nil
}
