package finetune

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"efcn/onnxio"
)

// mappedSketches are of transposed convolutions, resampling, reductions, norms of
// windows, and products of other forms than a value and a matrix.
func mappedSketches() map[string]sketch {
	rng := rand.New(rand.NewPCG(23, 24))
	type nodes = []*onnxio.Node
	ints, integer, text, float := onnxio.IntsAttr, onnxio.IntAttr, onnxio.StringAttr, onnxio.FloatAttr
	image := []int64{2, 4, 5}
	of := func(shape []int64, size, opset int64, n nodes, inits ...*onnxio.Tensor) sketch {
		return sketch{shape: shape, size: size, opset: opset, nodes: n, inits: inits}
	}
	transposed := func(shape []int64, size int64, kernel []int64, bias int64, attributes ...*onnxio.Attribute) sketch {
		s := of(shape, size, 0, nodes{apply("ConvTranspose", "x w", "y", attributes...)}, noise(rng, "w", kernel...))
		if bias > 0 {
			s.nodes[0].Inputs = append(s.nodes[0].Inputs, "b")
			s.inits = append(s.inits, noise(rng, "b", bias))
		}
		return s
	}
	scaled := func(mode string, size, opset int64, scales []float32, attributes ...*onnxio.Attribute) sketch {
		return of(image, size, opset, nodes{apply("Resize", "x - s", "y", append(attributes, text("mode", mode))...)},
			onnxio.NewTensor("s", []int64{int64(len(scales))}, scales))
	}
	sized := func(mode, coordinates string, h, w int64, attributes ...*onnxio.Attribute) sketch {
		s := of(image, 2*h*w, 19, nodes{
			apply("Shape", "x", "s"), apply("Slice", "s zero two", "n"), apply("Concat", "n hw", "z", integer("axis", 0)),
			apply("Resize", "x roi - z", "y",
				append(attributes, text("mode", mode), text("coordinate_transformation_mode", coordinates))...),
		}, integers("zero", 0), integers("two", 2), integers("hw", h, w),
			onnxio.NewTensor("roi", []int64{8}, []float32{0, 0, 0.2, -0.3, 1, 1, 0.9, 1.2}))
		return s
	}
	reduced := func(op string, size, opset int64, axes []int64, attributes ...*onnxio.Attribute) sketch {
		if opset < 13 || opset < 18 && op != "ReduceSum" {
			return of(image, size, opset, nodes{apply(op, "x", "y", append(attributes, ints("axes", axes...))...)})
		}
		return of(image, size, opset, nodes{apply(op, "x a", "y", attributes...)}, integers("a", axes...))
	}
	product := func(shape []int64, size int64, inputs string, dims ...int64) sketch {
		return of(shape, size, 0, nodes{apply("MatMul", inputs, "y")}, noise(rng, "w", dims...))
	}
	cases := map[string]sketch{
		"ConvTranspose": transposed(image, 160, []int64{2, 2, 2, 2}, 2, ints("strides", 2, 2)),
		"ConvTranspose, padded": transposed(image, 126, []int64{2, 3, 3, 3}, 3, ints("strides", 2, 1),
			ints("pads", 1, 0, 1, 1), ints("output_padding", 0, 0)),
		"ConvTranspose, output padded": transposed(image, 240, []int64{2, 3, 3, 3}, 0, ints("strides", 2, 2),
			ints("pads", 1, 1, 1, 1), ints("output_padding", 1, 1)),
		"ConvTranspose groups": transposed([]int64{4, 3, 3}, 150, []int64{4, 3, 3, 3}, 6, integer("group", 2)),
		"ConvTranspose depthwise": transposed([]int64{4, 3, 3}, 144, []int64{4, 1, 2, 2}, 0, integer("group", 4),
			ints("strides", 2, 2)),
		"ConvTranspose dilated": transposed(image, 72, []int64{2, 2, 3, 2}, 2, ints("dilations", 2, 3),
			ints("pads", 0, 1, 2, 1), ints("strides", 1, 1)),
		"ConvTranspose output shape": transposed(image, 143, []int64{2, 1, 3, 3}, 1, ints("strides", 3, 2),
			ints("output_shape", 11, 13)),
		"ConvTranspose SAME": transposed(image, 80, []int64{2, 1, 3, 3}, 0, ints("strides", 2, 2),
			text("auto_pad", "SAME_UPPER")),
		"ConvTranspose SAME_LOWER": transposed(image, 80, []int64{2, 1, 3, 3}, 1, ints("strides", 2, 2),
			text("auto_pad", "SAME_LOWER")),
		"ConvTranspose 1-D": transposed([]int64{2, 6}, 39, []int64{2, 3, 3}, 3, ints("strides", 2)),
		"ConvTranspose 3-D": transposed([]int64{2, 2, 2, 3}, 48, []int64{2, 1, 2, 2, 2}, 1,
			ints("strides", 1, 2, 1)),
		"a small U-Net": of([]int64{2, 4, 6}, 48, 0, nodes{
			apply("Conv", "x w b", "c", ints("pads", 1, 1, 1, 1)), apply("Relu", "c", "r"),
			apply("MaxPool", "r", "p", ints("kernel_shape", 2, 2), ints("strides", 2, 2)),
			apply("Conv", "p v", "d", ints("pads", 1, 1, 1, 1)), apply("Relu", "d", "e"),
			apply("ConvTranspose", "e u t", "f", ints("strides", 2, 2)),
			apply("Concat", "f r", "g", integer("axis", 1)), apply("Conv", "g q", "y"),
		}, noise(rng, "w", 3, 2, 3, 3), noise(rng, "b", 3), noise(rng, "v", 4, 3, 3, 3),
			noise(rng, "u", 4, 3, 2, 2), noise(rng, "t", 3), noise(rng, "q", 2, 6, 1, 1)),

		"Resize nearest": scaled("nearest", 160, 0, []float32{1, 1, 2, 2}),
		"Resize nearest, less": scaled("nearest", 12, 0, []float32{1, 1, 0.5, 0.7}, text("nearest_mode", "floor"),
			text("coordinate_transformation_mode", "asymmetric")),
		"Resize linear":       scaled("linear", 160, 0, []float32{1, 1, 2, 2}),
		"Resize linear, less": scaled("linear", 12, 0, []float32{1, 1, 0.5, 0.7}),
		"Resize channels":     scaled("linear", 60, 0, []float32{1, 1.5, 1, 1}),
		"Resize of version 10": of(image, 160, 10, nodes{apply("Resize", "x s", "y", text("mode", "linear"))},
			onnxio.NewTensor("s", []int64{4}, []float32{1, 1, 2, 2})),
		"Resize to one reader more": of(image, 272, 0, nodes{
			apply("Resize", "x - s", "z", text("mode", "linear")), apply("Tanh", "z", "t"), apply("Mul", "z t", "y"),
		}, onnxio.NewTensor("s", []int64{4}, []float32{1, 1, 2, 3.5})),
		"Upsample": of(image, 160, 9, nodes{apply("Upsample", "x s", "y")},
			onnxio.NewTensor("s", []int64{4}, []float32{1, 1, 2, 2})),
		"Upsample linear": of(image, 120, 9, nodes{apply("Upsample", "x s", "y", text("mode", "linear"))},
			onnxio.NewTensor("s", []int64{4}, []float32{1, 1, 1.5, 2})),
		"Upsample attributes": of(image, 120, 7,
			nodes{apply("Upsample", "x", "y",
				&onnxio.Attribute{Name: "scales", Type: onnxio.AttrFloats, Floats: []float32{1, 1, 3, 1}},
				text("mode", "linear"))}),

		"ReduceMean":             reduced("ReduceMean", 2, 13, []int64{-1, 2}, integer("keepdims", 0)),
		"ReduceMean of channels": reduced("ReduceMean", 20, 13, []int64{1}),
		"ReduceMean of rows":     reduced("ReduceMean", 4, 18, []int64{-1, 1}, integer("keepdims", 0)),
		"ReduceMean as dynamo has": of([]int64{2, 3, 2, 3, 2}, 18, 18,
			nodes{apply("ReduceMean", "x a", "y", integer("keepdims", 0))}, integers("a", -3, -1)),
		"ReduceMean of no axes": of(image, 40, 18,
			nodes{apply("ReduceMean", "x", "y", integer("noop_with_empty_axes", 1))}),
		"a product of values": of([]int64{3, 4}, 9, 0, nodes{
			apply("Tanh", "x", "t"), apply("Transpose", "t", "u", ints("perm", 0, 2, 1)), apply("MatMul", "x u", "y"),
		}),
		"attention": of([]int64{5, 6}, 30, 0, nodes{
			apply("MatMul", "x w", "k"), apply("Reshape", "k s", "q"), apply("Transpose", "q", "h", ints("perm", 0, 2, 1, 3)),
			apply("Sigmoid", "h", "g"),
			apply("Transpose", "g", "t", ints("perm", 0, 1, 3, 2)), apply("MatMul", "h t", "a"), apply("MatMul", "a g", "o"),
			apply("Transpose", "o", "p", ints("perm", 0, 2, 1, 3)), apply("Reshape", "p z", "y"),
		}, noise(rng, "w", 6, 6), integers("s", -1, 5, 2, 3), integers("z", -1, 5, 6)),
		"a product that is broadcast": of([]int64{2, 3, 4}, 12, 0, nodes{
			apply("ReduceMean", "x", "m", ints("axes", 1)), apply("Transpose", "m", "t", ints("perm", 0, 1, 3, 2)),
			apply("MatMul", "x t", "z"), apply("Slice", "z b e a", "y"),
		}, integers("b", 0), integers("e", 2), integers("a", 3)),
		"MatMul by a stack":        product([]int64{3, 2, 4}, 30, "x w", 3, 4, 5),
		"MatMul of one by a stack": product([]int64{1, 2, 4}, 30, "x w", 3, 4, 5),
		"MatMul by one of a rank":  product([]int64{2, 4}, 10, "x w", 1, 4, 5),
		"MatMul by a vector":       product([]int64{2, 4}, 2, "x w", 4),
		"MatMul of a vector":       product([]int64{2, 4}, 4, "w x", 2),
		"MatMul after a weight":    product([]int64{3, 4}, 20, "w x", 5, 3),
		"MatMul after a stack":     product([]int64{2, 3, 4}, 40, "w x", 2, 5, 3),
		"MatMul after one stack":   product([]int64{2, 3, 4}, 40, "w x", 1, 1, 5, 3),

		"AveragePool 1-D": of([]int64{2, 7}, 6, 0,
			nodes{apply("AveragePool", "x", "y", ints("kernel_shape", 3), ints("strides", 2))}),
		"AveragePool 3-D": of([]int64{1, 3, 4, 3}, 12, 0,
			nodes{apply("AveragePool", "x", "y", ints("kernel_shape", 2, 2, 2))}),
		"AveragePool dilated": of(image, 12, 19,
			nodes{apply("AveragePool", "x", "y", ints("kernel_shape", 2, 2), ints("dilations", 2, 2))}),
		"MaxPool ceil": of(image, 12, 0,
			nodes{apply("MaxPool", "x", "y", ints("kernel_shape", 2, 2), ints("strides", 2, 2), integer("ceil_mode", 1))}),
		"MaxPool dilated": of(image, 12, 0,
			nodes{apply("MaxPool", "x", "y", ints("kernel_shape", 2, 2), ints("dilations", 2, 2))}),
		"MaxPool 1-D": of([]int64{2, 7}, 6, 0,
			nodes{apply("MaxPool", "x", "y", ints("kernel_shape", 3), ints("strides", 2))}),
		"MaxPool 3-D": of([]int64{1, 3, 4, 3}, 12, 0,
			nodes{apply("MaxPool", "x", "y", ints("kernel_shape", 2, 2, 2))}),
		"LpPool": of(image, 24, 0,
			nodes{apply("LpPool", "x", "y", ints("kernel_shape", 2, 3), ints("strides", 1, 2), ints("pads", 1, 1, 0, 1))}),
		"LpPool of the first": of(image, 24, 0,
			nodes{apply("LpPool", "x", "y", ints("kernel_shape", 2, 2), integer("p", 1))}),
		"LpPool of the third": of(image, 12, 18,
			nodes{apply("LpPool", "x", "y", ints("kernel_shape", 2, 2), ints("dilations", 2, 2), integer("p", 3),
				integer("ceil_mode", 1))}),
		"GlobalLpPool":         of(image, 2, 0, nodes{apply("GlobalLpPool", "x", "y")}),
		"GlobalLpPool of 3-D":  of([]int64{2, 2, 2, 3}, 2, 0, nodes{apply("GlobalLpPool", "x", "y", integer("p", 3))}),
		"GlobalMaxPool of 1-D": of([]int64{2, 7}, 2, 0, nodes{apply("GlobalMaxPool", "x", "y")}),
	}
	for _, op := range []string{
		"ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
		"ReduceSumSquare", "ReduceLogSumExp",
	} {
		cases[op] = reduced(op, 8, 11, []int64{-1})
		cases[op+" of two"] = reduced(op, 5, 18, []int64{1, 2}, integer("keepdims", 0))
	}
	cases["ReduceLogSum"] = of(image, 5, 18, nodes{apply("Sigmoid", "x", "z"), apply("ReduceLogSum", "z a", "y")},
		integers("a", 1, 2))
	for i, coordinates := range []string{
		"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
		"tf_half_pixel_for_nn", "half_pixel_symmetric", "tf_crop_and_resize",
	} {
		for _, mode := range []string{"nearest", "linear", "cubic"} {
			cases[fmt.Sprintf("Resize %s %s", mode, coordinates)] = sized(mode, coordinates, int64(7-i%3), int64(3+i%4),
				float("extrapolation_value", 0.5))
		}
	}
	cases["Resize cubic, excluded"] = sized("cubic", "half_pixel", 7, 9, integer("exclude_outside", 1),
		float("cubic_coeff_a", -0.5))
	cases["Resize linear, antialiased"] = sized("linear", "half_pixel", 2, 3, integer("antialias", 1))
	cases["Resize cubic, antialiased"] = sized("cubic", "half_pixel", 2, 2, integer("antialias", 1))
	return cases
}

// What would take a product or a sum over the batch is refused with the node's name.
func TestMappedRefusals(t *testing.T) {
	cases := map[string]struct {
		nodes []*onnxio.Node
		inits []*onnxio.Tensor
		size  int64
		want  string
	}{
		"the batch is summed": {
			[]*onnxio.Node{
				apply("ReduceSum", "x a", "z"),
				apply("Add", "x z", "y"),
			},
			[]*onnxio.Tensor{integers("a", 0)},
			8,
			`"ReduceSum_z" (ReduceSum): axes [0] of 3 reduce the batch`,
		},
		"everything is summed": {
			[]*onnxio.Node{apply("ReduceSum", "x", "z"), apply("Add", "x z", "y")}, nil, 8, "axes [] of 3 reduce the batch",
		},
		"the batch is multiplied": {
			[]*onnxio.Node{
				apply("Flatten", "x", "f"),
				apply("MatMul", "w f", "y"),
			},
			[]*onnxio.Tensor{zeros("w", sketchBatch, sketchBatch)},
			8,
			"the batch on the first axis",
		},
		"the batch is resampled": {
			[]*onnxio.Node{apply("Resize", "x - s", "y", onnxio.StringAttr("mode", "linear"))},
			[]*onnxio.Tensor{onnxio.NewTensor("s", []int64{3}, []float32{2, 1, 1})},
			8, "between the samples",
		},
		"a computed weight": {
			[]*onnxio.Node{
				apply("Unsqueeze", "x a", "u"),
				apply("Conv", "u u", "y"),
			}, []*onnxio.Tensor{integers("a", 1)}, 5, "no initializer",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := sketch{shape: []int64{2, 4}, size: c.size, nodes: c.nodes, inits: c.inits}.model(3)
			m.Graph.Outputs[0].Type.Shape[0] = onnxio.Symbol("M")
			tr, err := newTrainee[float64](m, TrainAll)
			if err == nil {
				_, err = tr.network(sketchBatch, true)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
