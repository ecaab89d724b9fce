package engine

import (
	"strings"
	"testing"

	"efcn/onnxio"
)

type values = []*Tensor[float32]

func bools(shape []int, v ...int64) *Tensor[float32] {
	return &Tensor[float32]{Type: onnxio.Bool, Shape: shape, I: v}
}

// TestOlderVersions runs operators by the rules of versions that the ONNX node
// tests, written for the newest, no longer cover.
func TestOlderVersions(t *testing.T) {
	x := value([]int{2, 2}, 1, -2, 3, -4)
	square := value([]int{1, 1, 2, 2}, 1, 2, 3, 4)
	channel := value([]int{1}, 1)
	for _, c := range []struct {
		name  string
		opset int64
		node  *onnxio.Node
		in    values
		want  values
	}{
		{
			"bounds as attributes", 10, op("Clip x -> y", onnxio.FloatAttr("min", -1), onnxio.FloatAttr("max", 2)),
			values{x},
			values{value([]int{2, 2}, 1, -1, 2, -1)},
		},
		{
			"one bound", 7, op("Clip x -> y", onnxio.FloatAttr("max", 0)),
			values{x},
			values{value([]int{2, 2}, 0, -2, 0, -4)},
		},
		{"pads as attributes", 10, op("Pad x -> y", onnxio.IntsAttr("pads", 0, 1, 0, 0),
			onnxio.FloatAttr("value", 9)), values{x}, values{value([]int{2, 3}, 9, 1, -2, 9, 3, -4)}},
		{
			"negative pads", 10, op("Pad x -> y", onnxio.IntsAttr("pads", 0, -1, 0, 1)),
			values{x},
			values{value([]int{2, 2}, -2, 0, -4, 0)},
		},
		{"ranges as attributes", 9, op("Slice x -> y", onnxio.IntsAttr("starts", -1), onnxio.IntsAttr("ends", 9),
			onnxio.IntsAttr("axes", 1)), values{x}, values{value([]int{2, 1}, -2, -4)}},
		{
			"axes as attributes", 12, op("Unsqueeze x -> y", onnxio.IntsAttr("axes", 0, -1)),
			values{x},
			values{x.reshaped([]int{1, 2, 2, 1})},
		},
		{
			"axes as attributes", 12, op("Squeeze x -> y", onnxio.IntsAttr("axes", 1)),
			values{square},
			values{value([]int{1, 2, 2}, 1, 2, 3, 4)},
		},
		{
			"axes as attributes", 12, op("ReduceSum x -> y", onnxio.IntsAttr("axes", 0), onnxio.IntAttr("keepdims", 0)),
			values{x},
			values{value([]int{2}, 4, -6)},
		},
		{
			"axes as attributes", 17, op("ReduceMax x -> y", onnxio.IntsAttr("axes", -1)),
			values{x},
			values{value([]int{2, 1}, 1, 3)},
		},
		{
			"the axes from 1 on are one", 12, op("Softmax x -> y"),
			values{value([]int{1, 2, 2}, 0, 0, 0, 0)},
			values{value([]int{1, 2, 2}, .25, .25, .25, .25)},
		},
		{
			"the last axis", 13, op("Softmax x -> y"),
			values{value([]int{1, 2, 2}, 0, 0, 0, 0)},
			values{value([]int{1, 2, 2}, .5, .5, .5, .5)},
		},
		{
			"the axes from 1 on are one", 11, op("Hardmax x -> y"),
			values{value([]int{1, 2, 2}, 0, 1, 5, 3)},
			values{value([]int{1, 2, 2}, 0, 0, 1, 0)},
		},
		{
			"sizes as attributes", 12, op("Split x -> a b", onnxio.IntsAttr("split", 1, 1), onnxio.IntAttr("axis", 1)),
			values{x},
			values{value([]int{2, 1}, 1, 3), value([]int{2, 1}, -2, -4)},
		},
		{
			"k as an attribute", 9, op("TopK x -> v i", onnxio.IntAttr("k", 1)),
			values{x},
			values{value([]int{2, 1}, 1, 3), ints([]int{2, 1}, 0, 0)},
		},
		{"scales as an attribute", 8, op("Upsample x -> y",
			&onnxio.Attribute{
				Name: "scales", Type: onnxio.AttrFloats,
				Floats: []float32{1, 1, 1, 2},
			}), values{square}, values{value([]int{1, 1, 2, 4}, 1, 1, 2, 2, 3, 3, 4, 4)}},
		{
			"linear, asymmetric", 9, op("Upsample x s -> y", onnxio.StringAttr("mode", "linear")),
			values{square, value([]int{4}, 1, 1, 1, 2)},
			values{value([]int{1, 1, 2, 4}, 1, 1.5, 2, 2, 3, 3.5, 4, 4)},
		},
		{
			"asymmetric", 10, op("Resize x s -> y"),
			values{square, value([]int{4}, 1, 1, 2, 1)},
			values{value([]int{1, 1, 4, 2}, 1, 2, 1, 2, 3, 4, 3, 4)},
		},
		// The test data resize_downsample_nearest of ONNX 1.5, and what ONNX Runtime 1.32 gives.
		{
			"nearest, smaller", 10, op("Resize x s -> y"),
			values{
				value([]int{2, 4}, 1, 2, 3, 4, 5, 6, 7, 8),
				value([]int{2}, .6, .6),
			},
			values{value([]int{1, 2}, 1, 3)},
		},
		{
			"nearest, one axis larger, one smaller", 10, op("Resize x s -> y"),
			values{
				value([]int{2, 4}, 1, 2, 3, 4, 5, 6, 7, 8),
				value([]int{2}, 1.6, .6),
			},
			values{value([]int{3, 2}, 1, 3, 1, 3, 5, 7)},
		},
		{
			"nearest, not above the last", 10, op("Resize x s -> y"),
			values{value([]int{1, 5}, 0, 1, 2, 3, 4), value([]int{2}, 1, .9)},
			values{value([]int{1, 4}, 0, 2, 3, 4)},
		},
		{"larger than the image", 13, op("MaxPool x -> y", onnxio.IntsAttr("kernel_shape", 3, 3),
			onnxio.IntsAttr("strides", 2, 2), onnxio.IntAttr("ceil_mode",
				1)), values{square}, values{value([]int{1, 1, 1, 1}, 4)}},
		{
			"larger than the padded image", 22,
			op("AveragePool x -> y", onnxio.IntsAttr("kernel_shape", 5, 1), onnxio.IntsAttr("strides", 3, 1),
				onnxio.IntsAttr("pads", 1, 0, 1, 0), onnxio.IntAttr("ceil_mode", 1), onnxio.IntAttr("count_include_pad",
					1)),
			values{square},
			values{value([]int{1, 1, 1, 2}, 1, 1.5)},
		},
		{"a mask like the data", 7, op("Dropout x -> y m"), values{x}, values{x, value([]int{2, 2}, 1, 1, 1, 1)}},
		{
			"a mask of bools", 10, op("Dropout x -> y m", onnxio.FloatAttr("ratio", .5)),
			values{x},
			values{x, bools([]int{2, 2}, 1, 1, 1, 1)},
		},
		{
			"C is optional since 11 only by the letter", 9,
			op("Gemm x x c -> y", onnxio.IntAttr("transB", 1), onnxio.FloatAttr("beta", 2)),
			values{
				x, x,
				value([]int{2}, 1, 0),
			},
			values{value([]int{2, 2}, 7, 11, 13, 25)},
		},
		{"spatial", 7, op("BatchNormalization x s b m v -> y", onnxio.FloatAttr("epsilon", 0),
			onnxio.IntAttr("spatial", 1)), values{square, channel, channel, channel, value([]int{1},
			4)}, values{value([]int{1, 1, 2, 2}, 1, 1.5, 2, 2.5)}},
		{"per group", 20, op("GroupNormalization x s b -> y", onnxio.IntAttr("num_groups", 1),
			onnxio.FloatAttr("epsilon", 0)), values{value([]int{1, 2, 1}, 1, 3), value([]int{1},
			2), channel}, values{value([]int{1, 2, 1}, -1, 3)}},
		{
			"before modes", 7, op("DepthToSpace x -> y", onnxio.IntAttr("blocksize", 2)),
			values{value([]int{1, 4, 1, 1}, 1, 2, 3, 4)},
			values{square},
		},
		{
			"ScatterElements' old name", 10, op("Scatter x i u -> y", onnxio.IntAttr("axis", 1)),
			values{x, ints([]int{1, 1}, 1), value([]int{1, 1}, 7)},
			values{value([]int{2, 2}, 1, 7, 3, -4)},
		},
	} {
		got, err := RunNode(c.node, c.opset, c.in)
		if err != nil {
			t.Errorf("%s %d, %s: %v", c.node.OpType, c.opset, c.name, err)
			continue
		}
		for i, w := range c.want {
			if err := compare(got[i], w, 1e-6, 0); err != nil {
				t.Errorf("%s %d, %s: output %d: %v", c.node.OpType, c.opset, c.name, i, err)
			}
		}
	}
}

// TestRefuses gives nodes and inputs that must be refused, each with its reason.
func TestRefuses(t *testing.T) {
	x := value([]int{2, 2}, 1, 2, 3, 4)
	image := value([]int{1, 2, 4, 4}, make([]float32, 32)...)
	kernel3 := value([]int{2, 2, 3, 3}, make([]float32, 36)...)
	ints4 := func(v ...int64) *Tensor[float32] { return ints([]int{len(v)}, v...) }
	for _, c := range []struct {
		node *onnxio.Node
		in   values
		want string
	}{
		{
			op("Conv x w -> y", onnxio.StringAttr("auto_pad", "SAME")),
			values{image, kernel3},
			`attribute auto_pad: "SAME" is not supported; want one of ["NOTSET" "SAME_UPPER" "SAME_LOWER" "VALID"]`,
		},
		{op("Conv x w -> y", onnxio.IntsAttr("pads", 1, 1)), values{image, kernel3}, "pads: want 4 values, got 2"},
		{
			op("Conv x w -> y", onnxio.IntsAttr("pads", -1, 0, 0, 0)),
			values{image, kernel3},
			"pads [-1 0 0 0]: want values of at least 0",
		},
		{
			op("Conv x w -> y", onnxio.IntsAttr("strides", 0, 1)),
			values{image, kernel3},
			"strides [0 1]: want values of at least 1",
		},
		{op("Conv x w -> y", onnxio.IntsAttr("dilations", 2, 2)), values{image, kernel3}, "does not fit in [4 4]"},
		{op("Conv x w -> y", onnxio.IntsAttr("dilations", 1<<31-1, 1)), values{image, kernel3}, "too large"},
		{
			op("Conv x w -> y", onnxio.IntsAttr("kernel_shape", 5, 5)),
			values{image, kernel3},
			"kernel_shape is [5 5], W has [3 3]",
		},
		{
			op("Conv x w -> y", onnxio.IntAttr("group", 2)),
			values{image, kernel3},
			"W of shape [2 2 3 3] with group 2 takes 4 channels, the input [1 2 4 4] has 2",
		},
		{
			op("Conv x w -> y", onnxio.IntAttr("group", 0)),
			values{image, kernel3},
			"attribute group: want at least 1, got 0",
		},
		{op("Conv x w b -> y"), values{image, kernel3, value([]int{3}, 1, 2, 3)}, "B has shape [3]; want [2]"},
		{op("Conv x w -> y"), values{x, kernel3}, "want batch, channels and spatial axes"},
		{
			op("Conv x w -> y"),
			values{image.reshaped([]int{1, 2, 2, 2, 2, 2}), value([]int{1, 2, 1, 1, 1, 1}, 1, 1)},
			"4 spatial axes are not supported; 1 to 3 are",
		},
		{
			op("Conv x w -> y"),
			values{image, ints([]int{1}, 1)},
			`input 1 ("w"): int64 is not supported here; want floating point`,
		},
		{
			op("ConvTranspose x w -> y"),
			values{image, value([]int{1, 1, 1, 1}, 1)},
			"W has shape [1 1 1 1]; want [2, M/group, kernel]",
		},
		{op("MaxPool x -> y"), values{image}, "attribute kernel_shape is missing"},
		{op("MaxPool x -> y", onnxio.IntsAttr("kernel_shape", 2)), values{image}, "kernel_shape: want 2 values, got 1"},
		{op("MaxPool x -> y", onnxio.IntsAttr("kernel_shape", 2, 2), onnxio.IntsAttr("pads", 1, 1, 1, 1),
			onnxio.StringAttr("auto_pad", "VALID")), values{image}, "contradict auto_pad VALID"},
		{op("AveragePool x -> y", onnxio.IntsAttr("kernel_shape", 5, 1)), values{image}, "does not fit"},
		{
			op("AveragePool x -> y", onnxio.IntsAttr("kernel_shape", 1, 1), onnxio.IntsAttr("dilations", 1, 1)),
			values{image},
			"attribute dilations is unknown in version 11",
		},
		{op("GlobalAveragePool x -> y"), values{value([]int{1, 2, 0})}, "nothing to pool"},
		{
			op("BatchNormalization x s b m v -> y"),
			values{
				image, value([]int{1}, 1), value([]int{1}, 1), value([]int{1}, 1),
				value([]int{1}, 1),
			},
			"input 1 has shape [1]; want [2]",
		},
		{
			op("BatchNormalization x s b m v -> y mean"),
			values{image, x, x, x, x},
			`outputs ["y" "mean"]; want one, or up to three with training_mode`,
		},
		{
			op("BatchNormalization x s b m v -> y", onnxio.IntAttr("training_mode", 1)),
			values{
				value([]int{0, 2, 1, 1}), value([]int{2}, 1, 1), value([]int{2}, 1, 1), value([]int{2}, 1, 1),
				value([]int{2}, 1, 1),
			},
			"has no elements to take a mean of",
		},
		{op("Gemm a b -> y"), values{x, image}, "want matrices"},
		{op("Gemm a b -> y"), values{x, value([]int{3, 1}, 1, 2, 3)}, "do not multiply"},
		{op("Gemm a b c -> y"), values{x, x, value([]int{3}, 1, 2, 3)}, "C of shape [3] does not broadcast to [2 2]"},
		{
			op("Gemm a b c -> y"),
			values{x, x, value([]int{1, 2, 2}, 1, 2, 3, 4)},
			"C of shape [1 2 2] does not broadcast to [2 2]",
		},
		{op("MatMul a b -> y"), values{x, value([]int{3}, 1, 2, 3)}, "do not multiply"},
		{op("MatMul a b -> y"), values{x, value([]int{}, 1)}, "a scalar does not multiply"},
		{op("Add a b -> y"), values{x, value([]int{3}, 1, 2, 3)}, "do not broadcast"},
		{
			op("Add a b -> y"),
			values{x, ints([]int{1}, 1)},
			"operands are float32 and int64; a Cast must make them the same",
		},
		{op("Div a b -> y"), values{ints4(1), ints4(0)}, "integer division by zero"},
		{op("Mod a b -> y"), values{ints4(1), ints4(0)}, "integer division by zero"},
		{op("Mod a b -> y"), values{x, x}, "floating-point operands need fmod 1"},
		{op("Reshape x s -> y"), values{x, ints4(3, -1)}, "shape [3 -1] does not divide the 4 elements of [2 2]"},
		{op("Reshape x s -> y"), values{x, ints4(-1, -1)}, "dimension -1 is out of range"},
		{
			op("Reshape x s -> y"),
			values{x, ints4(1, 4, 0)},
			"0 at 2 keeps a dimension that the input [2 2] does not have",
		},
		{op("Reshape x s -> y"), values{x, ints4(1<<40, 1<<40)}, "out of range"},
		{op("Reshape x s -> y"), values{x, ints4(1<<30, 1<<30)}, errTooMany.Error()},
		{op("Gather x i -> y"), values{x, ints4(2)}, "index 2 is outside an axis of 2"},
		{op("Gather x i -> y", onnxio.IntAttr("axis", 2)), values{x, ints4(0)}, "axis 2 is out of range for rank 2"},
		{op("GatherElements x i -> y"), values{x, ints([]int{1, 3}, 0, 0, 0)}, "reach past"},
		{op("GatherND x i -> y"), values{x, ints([]int{1, 3}, 0, 0, 0)}, "index vectors of 3"},
		{op("GatherND x i -> y"), values{x, ints([]int{1, 1}, -3)}, "index -3 is outside an axis of 2"},
		{
			op("ScatterND x i u -> y"),
			values{x, ints([]int{1, 1}, 0), value([]int{1, 1}, 5)},
			"updates have shape [1 1]; want [1 2]",
		},
		{op("Concat a b -> y"), values{x, x}, "attribute axis is missing"},
		{op("Concat a b -> y", onnxio.IntAttr("axis", 0)), values{x, image}, "differ off axis 0"},
		{op("Squeeze x a -> y"), values{x, ints4(0)}, "axis 0 of [2 2] is not 1"},
		{op("Unsqueeze x a -> y"), values{x, ints4(0, 0)}, "axis 0 is named twice"},
		{op("Unsqueeze x -> y"), values{x}, "1 inputs; want 2"},
		{op("Slice x s e a t -> y"), values{x, ints4(0), ints4(1), ints4(0), ints4(0)}, "step of axis 0 is 0"},
		{op("Slice x s e -> y"), values{x, ints4(0, 0, 0), ints4(1, 1, 1)}, "3 starts for shape [2 2]"},
		{op("Transpose x -> y", onnxio.IntsAttr("perm", 0, 0)), values{x}, "axis 0 is named twice"},
		{op("Transpose x -> y", onnxio.IntsAttr("perm", 0)), values{x}, "perm [0] is not for rank 2"},
		{op("Pad x p -> y"), values{x, ints4(1)}, "pads: want 4 values, got 1"},
		{op("Pad x p -> y"), values{x, ints4(-2, 0, -1, 0)}, "crop more than axis 0"},
		{op("Pad x p -> y"), values{x, ints4(1<<62, 0, 1<<62, 0)}, "out of range"},
		{
			op("Pad x p -> y", onnxio.StringAttr("mode", "wrap")),
			values{x, ints4(0, 0, 0, 0)},
			`"wrap" is not supported`,
		},
		{op("Cast x -> y", onnxio.IntAttr("to", 8)), values{x}, "attribute to: string is not supported"},
		{op("ConstantOfShape s -> y"), values{ints4(1<<31, 4)}, errTooMany.Error()},
		{op("ConstantOfShape s -> y"), values{ints4(-1)}, "dimension -1 is out of range"},
		{op("Expand x s -> y"), values{x, ints4(3, 2)}, "do not broadcast"},
		{op("Tile x r -> y"), values{x, ints4(1)}, "repeats: want 2 values, got 1"},
		{op("Tile x r -> y"), values{x, ints4(1<<31, 1<<31)}, errTooMany.Error()},
		{op("Range a b c -> y"), values{ints([]int{}, 0), ints([]int{}, 1<<62), ints([]int{}, 1)}, errTooMany.Error()},
		{op("Range a b c -> y"), values{ints([]int{}, 0), ints([]int{}, 5), ints([]int{}, 0)}, "delta is 0"},
		{op("Range a b c -> y"), values{value([]int{}, 0), value([]int{}, 0), value([]int{}, 0)}, errTooMany.Error()},
		{op("Split x -> a b c", onnxio.IntAttr("axis", 1)), values{x}, "does not divide into 3 parts"},
		{op("Split x s -> a b"), values{x, ints4(1, 2)}, "sizes [1 2] for 2 outputs of axis 0 of [2 2]"},
		{op("TopK x k -> v i"), values{x, ints4(3)}, "k is 3, axis 1 has 2"},
		{op("ArgMax x -> y"), values{value([]int{0, 2})}, "the axis is empty"},
		{
			op("OneHot i d v -> y"),
			values{ints4(1), ints4(1 << 40), x.reshaped([]int{4})},
			"want one depth and two values",
		},
		{op("Resize x _ s -> y"), values{x, nil, value([]int{2}, 0, 1)}, "scale 0 of an axis of 2 is out of range"},
		{op("Resize x _ s -> y"), values{x, nil, value([]int{2}, 1e30, 1)}, "out of range"},
		{op("Resize x -> y"), values{x}, "0 scales and 0 sizes"},
		{op("DepthToSpace x -> y", onnxio.IntAttr("blocksize", 3)), values{image}, "C a multiple of 9"},
		{
			op("Constant -> y", &onnxio.Attribute{Name: "value_string", Type: onnxio.AttrString}), nil,
			"attribute value_string is not supported; numbers are",
		},
		{op("Constant -> y"), nil, "0 attributes; want the one that holds the value"},
		{
			op("LayerNormalization x s -> y"),
			values{x, value([]int{3}, 1, 1, 1)},
			"input 1: shape [3] does not broadcast to [2]",
		},
		{op("PRelu x s -> y"), values{value([]int{1}, 1), x}, "does not broadcast"},
		{op("Softmax x -> y", onnxio.IntAttr("axis", 5)), values{x}, "axis 5 is out of range for rank 2"},
		{op("Not x -> y"), values{x}, "want bool"},
		{op("Relu x y -> z"), values{x, x}, "2 inputs; want 1"},
		{op("Relu x -> y z"), values{x}, "2 outputs; want 1"},
		{op("LeakyRelu x -> y", onnxio.IntAttr("alpha", 1)), values{x}, "attribute alpha: want float, got int"},
		{op("Flatten x -> y", onnxio.IntAttr("axis", 3)), values{x}, "axis 3 is out of range for rank 2"},
	} {
		_, err := RunNode(c.node, 17, c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", c.node.OpType, err, c.want)
			continue
		}
		if !strings.HasPrefix(err.Error(), `node "`) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v: want one line that names the node", c.node.OpType, err)
		}
	}
}

// TestPadAroundCut refuses to wrap around to what is cut off.
func TestPadAroundCut(t *testing.T) {
	x := value([]int{5}, 1, 2, 3, 4, 5)
	for pads, refused := range map[[2]int64]bool{
		{2, -1}: true, {-1, 2}: true, {2, 1}: false, {-1, -2}: false,
		{0, -1}: false,
	} {
		_, err := RunNode(op("Pad x p -> y", onnxio.StringAttr("mode", "wrap")), 19,
			values{x, ints([]int{2}, pads[0], pads[1])})
		if got := err != nil && strings.Contains(err.Error(),
			"different things to different runtimes"); got != refused || err != nil && !refused {
			t.Errorf("pads %v: %v", pads, err)
		}
	}
}
