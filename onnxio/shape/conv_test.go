package shape_test

import "testing"

func TestConv(t *testing.T) {
	const x, w = "float32[batch,4,9,8]", "float32[6,4,3,3]"
	runCases(t, []opCase{
		{op: "Conv", in: []any{x, w}, want: []string{"float32[batch,6,7,6]"}},
		{
			op: "Conv", in: []any{x, w, "float32[6]"}, attrs: attrs(ints("pads", 1, 0, 2, 1), ints("strides", 2, 3)),
			want: []string{"float32[batch,6,5,3]"},
		},
		{
			op: "Conv", in: []any{x, "float32[6,2,3,3]"}, attrs: attrs(num("group", 2), ints("dilations", 4, 1)),
			want: []string{"float32[batch,6,1,6]"},
		},
		{
			op: "Conv", in: []any{x, w}, attrs: attrs(str("auto_pad", "SAME_UPPER"), ints("strides", 2, 2)),
			want: []string{"float32[batch,6,5,4]"},
		},
		{
			op: "Conv", in: []any{x, w}, attrs: attrs(str("auto_pad", "VALID"), ints("pads", 0, 0, 0, 0)),
			want: []string{"float32[batch,6,7,6]"},
		},
		// A symbolic size stays where the padding makes up for the kernel.
		{
			op: "Conv", in: []any{"float32[n,4,h,w]", w}, attrs: attrs(ints("pads", 1, 0, 1, 0)),
			want: []string{"float32[n,6,h,?]"},
		},
		{
			op: "Conv", in: []any{"float32[n,4,h,w]", w}, attrs: attrs(str("auto_pad", "SAME_LOWER")),
			want: []string{"float32[n,6,h,w]"},
		},
		{op: "Conv", in: []any{"float32[...]", w}, want: []string{"float32[?,6,?,?]"}},
		{op: "Conv", in: []any{"float32[...]", "float32[...]"}, want: []string{"float32[...]"}},
		{
			op: "Conv", in: []any{"float32[1,4,9]", "float32[6,?,?]"}, attrs: attrs(ints("kernel_shape", 3)),
			want: []string{"float32[1,6,7]"},
		},

		{
			op: "Conv", in: []any{x, "float32[6,4,10,3]"},
			err: "spatial axis 0: kernel 10 is larger than the padded input 9",
		},
		{
			op: "Conv", in: []any{x, w}, attrs: attrs(ints("dilations", 5, 1)),
			err: "kernel 3 (11 with its dilation) is larger than the padded input 9",
		},
		{
			op: "Conv", in: []any{x, "float32[6,3,3,3]"},
			err: `input "x0" has 4 channels; weights "x1" of shape [6,3,3,3] with group 1 want 3`,
		},
		{
			op: "Conv", in: []any{x, "float32[5,2,3,3]"}, attrs: attrs(num("group", 2)),
			err: "5 output channels do not divide into 2 groups",
		},
		{op: "Conv", in: []any{x, w}, attrs: attrs(num("group", 0)), err: "group is 0"},
		{op: "Conv", in: []any{x, w, "float32[5]"}, err: `bias "x2" has shape [5]; want [6]`},
		{op: "Conv", in: []any{x, "float32[6,4,3]"}, err: "they must have one rank"},
		{op: "Conv", in: []any{"float32[3,4]", "float32[3,4]"}, err: "want rank 3 or more"},
		{op: "Conv", in: []any{x, "float64[6,4,3,3]"}, err: "they must have one type"},
		{op: "Conv", in: []any{"int64[1,4,9,8]", "int64[6,4,3,3]"}, err: "want a floating-point type"},
		{op: "Conv", in: []any{x, w}, attrs: attrs(ints("pads", 1, 1)), err: "pads: want 4 values, got 2"},
		{op: "Conv", in: []any{x, w}, attrs: attrs(ints("pads", 1, 1, -1, 1)), err: "has a negative value"},
		{op: "Conv", in: []any{x, w}, attrs: attrs(ints("strides", 0, 1)), err: "value below 1"},
		{
			op: "Conv", in: []any{x, w}, attrs: attrs(ints("kernel_shape", 3, 2)),
			err: "kernel_shape [3 2] differs from the weights' [3 3]",
		},
		{op: "Conv", in: []any{x, w}, attrs: attrs(str("auto_pad", "SAME")), err: `auto_pad "SAME" is not one of`},
		{
			op: "Conv", in: []any{x, w}, attrs: attrs(str("auto_pad", "VALID"), ints("pads", 1, 1, 1, 1)),
			err: "both given; leave one out",
		},
		{op: "Conv", in: []any{x, w}, attrs: attrs(ints("dilations", 1<<62, 1)), err: "2^63"},
		{op: "Conv", in: []any{x, w}, attrs: attrs(ints("pads", 1<<62, 1, 1<<62, 1)), err: "2^63"},
		{op: "Conv", in: []any{x}, err: "1 inputs; want 2 to 3"},
		{op: "Conv", in: []any{nil, w}, err: "input 0 is left out"},
	})
}

func TestConvTranspose(t *testing.T) {
	const x, w = "float32[batch,4,5,h]", "float32[4,3,3,3]"
	runCases(t, []opCase{
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(ints("strides", 2, 2)),
			want: []string{"float32[batch,3,11,?]"},
		},
		{
			op: "ConvTranspose", in: []any{x, w, "float32[6]"},
			attrs: attrs(num("group", 2), ints("output_padding", 1, 0), ints("strides", 2, 2),
				ints("pads", 1, 1, 1, 1)), want: []string{"float32[batch,6,10,?]"},
		},
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(ints("output_shape", 10, 8), ints("strides", 2, 2)),
			want: []string{"float32[batch,3,10,8]"},
		},
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(str("auto_pad", "SAME_UPPER"), ints("strides", 2, 2)),
			want: []string{"float32[batch,3,10,?]"},
		},
		{op: "ConvTranspose", in: []any{x, "float32[5,3,3,3]"}, err: "want 5"},
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(ints("output_padding", 2, 0), ints("strides", 2, 2)),
			err: "output_padding 2 must be at least 0 and less than the stride 2",
		},
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(ints("pads", 5, 0, 5, 0)),
			err: "pads 5 and 5 cut more than the output 7",
		},
		{op: "ConvTranspose", in: []any{x, w}, attrs: attrs(ints("strides", 1<<61, 1)), err: "2^63"},
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(num("group", 3)),
			err: "4 input channels do not divide into 3 groups",
		},
		{
			op: "ConvTranspose", in: []any{x, w}, attrs: attrs(str("auto_pad", "SAME_UPPER"), ints("strides", 5, 5)),
			err: "the specification says size 25, runtimes make 23",
		},
	})
}

func TestPool(t *testing.T) {
	const x = "float32[batch,4,9,8]"
	k := ints("kernel_shape", 3, 2)
	runCases(t, []opCase{
		{op: "MaxPool", in: []any{x}, attrs: attrs(k), want: []string{"float32[batch,4,7,7]", "int64[batch,4,7,7]"}},
		{
			op: "AveragePool", in: []any{x}, attrs: attrs(k, ints("strides", 2, 3), num("ceil_mode", 1)),
			want: []string{"float32[batch,4,4,3]"},
		},
		// The second window of the last axis would start in the end padding.
		{
			op: "AveragePool", in: []any{"float32[1,1,4]"},
			attrs: attrs(ints("kernel_shape", 2), ints("strides", 4), ints("pads", 0, 1),
				num("ceil_mode", 1)), want: []string{"float32[1,1,1]"},
		},
		{
			op: "MaxPool", in: []any{"float32[1,1,1]"},
			attrs: attrs(ints("kernel_shape", 2), ints("strides", 2),
				num("ceil_mode", 1)), want: []string{"float32[1,1,1]"},
		},
		{op: "MaxPool", in: []any{"int8[1,1,4]"}, attrs: attrs(ints("kernel_shape", 2)), want: []string{"int8[1,1,3]"}},
		{op: "GlobalAveragePool", in: []any{"float32[batch,4,h,w]"}, want: []string{"float32[batch,4,1,1]"}},
		{op: "MaxPool", in: []any{x}, err: "attribute kernel_shape is missing"},
		{
			op: "MaxPool", in: []any{x}, attrs: attrs(ints("kernel_shape", 3)),
			err: "kernel_shape [3] has 1 values; the input has 2 spatial axes",
		},
		{
			op: "MaxPool", in: []any{"float32[1,1,1]"}, attrs: attrs(ints("kernel_shape", 2)),
			err: "kernel 2 is larger than the padded input 1",
		},
		{
			op: "AveragePool", in: []any{"float32[1,1,5]"},
			attrs: attrs(ints("kernel_shape", 2), ints("strides", 2), str("auto_pad", "VALID"),
				num("ceil_mode", 1)), err: "the specification says 2 windows, runtimes make 3",
		},
		{
			op: "AveragePool", in: []any{"int32[1,1,5]"}, attrs: attrs(ints("kernel_shape", 2)),
			err: "want a floating-point type",
		},
		{op: "MaxPool", in: []any{x}, attrs: attrs(k, num("ceil_mode", 2)), err: "ceil_mode is 2; want 0 or 1"},
	})
}

func TestNormalization(t *testing.T) {
	const x, c = "float32[batch,4,9,8]", "float32[4]"
	runCases(t, []opCase{
		{op: "BatchNormalization", in: []any{x, c, c, c, c}, want: []string{"float32[batch,4,9,8]"}},
		{op: "BatchNormalization", in: []any{x, c, c, c, "float32[5]"}, err: `input "x4" has shape [5]; want [4]`},
		{op: "BatchNormalization", in: []any{x, c, c, c}, err: "4 inputs; want 5"},
		{op: "InstanceNormalization", in: []any{x, c, c}, want: []string{"float32[batch,4,9,8]"}},
		{
			op: "GroupNormalization", opset: 18, in: []any{x, "float32[2]", "float32[2]"},
			attrs: attrs(num("num_groups", 2)), want: []string{"float32[batch,4,9,8]"},
		},
		{
			op: "GroupNormalization", in: []any{x, "float32[2]", "float32[2]"}, attrs: attrs(num("num_groups", 2)),
			err: "want [4]",
		},
		{
			op: "GroupNormalization", in: []any{x, c, c}, attrs: attrs(num("num_groups", 3)),
			err: "do not divide into 3 groups",
		},
		{
			op: "LayerNormalization", in: []any{x, "float32[9,8]"}, attrs: attrs(num("axis", 2)),
			want: []string{"float32[batch,4,9,8]", "float32[batch,4,1,1]", "float32[batch,4,1,1]"},
		},
		{op: "LayerNormalization", in: []any{x, "float32[7]"}, err: "does not broadcast"},
		{op: "LRN", in: []any{x}, attrs: attrs(num("size", 3)), want: []string{"float32[batch,4,9,8]"}},
	})
}
