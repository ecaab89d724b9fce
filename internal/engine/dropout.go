package engine

import (
	"errors"

	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Dropout (https://onnx.ai/onnx/operators/onnx__Dropout.html) at inference, which
// passes its input on. The mask, where asked for, is all true; before version 10
// it has the type of the data.
func init() {
	register(operator{name: "Dropout", limits: "inference", inputs: "ffb"}, dropout[float32], dropout[float64])
}

func dropout[T kernel.Float](n *node) (compute[T], error) {
	if n.version < 12 {
		n.ignore("ratio") // an input since
	} else {
		n.ignore("seed")
	}
	wantMask := n.Output(1) != ""
	version := n.version
	return func(x *exec[T], in []*Tensor[T]) ([]*Tensor[T], error) {
		v := in[0]
		if training := in[2]; training != nil && (training.Len() != 1 || training.I[0] != 0) {
			if ratio := in[1]; ratio == nil || ratio.Len() != 1 || ratio.F[0] != 0 {
				return nil, errors.New("training_mode is set; export the model for inference")
			}
		}
		if !wantMask {
			return []*Tensor[T]{v}, nil
		}
		t := onnxio.Bool
		if version < 10 {
			t = v.Type
		}
		mask, err := x.alloc(t, v.Shape)
		if err != nil {
			return nil, err
		}
		for i := range mask.F {
			mask.F[i] = 1
		}
		for i := range mask.I {
			mask.I[i] = 1
		}
		return []*Tensor[T]{v, mask}, nil
	}, nil
}
