package shape_test

import (
	"math"
	"testing"
)

func TestReshape(t *testing.T) {
	const x = "float32[batch,16,12,12]"
	runCases(t, []opCase{
		{op: "Reshape", in: []any{x, []int64{0, -1}}, want: []string{"float32[batch,2304]"}},
		{op: "Reshape", in: []any{x, []int64{-1, 2304}}, want: []string{"float32[batch,2304]"}},
		{op: "Reshape", in: []any{x, []int64{-1, 16, 144}}, want: []string{"float32[batch,16,144]"}},
		{op: "Reshape", in: []any{x, []int64{0, 0, -1}}, want: []string{"float32[batch,16,144]"}},
		{op: "Reshape", in: []any{x, []int64{-1, 5}}, want: []string{"float32[?,5]"}}, // right where 5 divides batch
		{op: "Reshape", in: []any{x, []int64{2, -1}}, want: []string{"float32[2,?]"}},
		{op: "Reshape", in: []any{x, "int64[2]"}, want: []string{"float32[?,?]"}},
		{op: "Reshape", in: []any{x, "int64[?]"}, want: []string{"float32[...]"}},
		{op: "Reshape", in: []any{"float32[...]", []int64{0, -1, 7}}, want: []string{"float32[?,?,7]"}},
		{
			op: "Reshape", in: []any{"float32[0,3,4]", []int64{3, 4, 0}}, attrs: attrs(num("allowzero", 1)),
			want: []string{"float32[3,4,0]"},
		},
		{op: "Reshape", in: []any{"float32[2,3]", []int64{3, 2}}, want: []string{"float32[3,2]"}},

		{op: "Reshape", in: []any{"float32[2,3]", []int64{4, 2}}, err: "has 6 elements; shape [4,2] has 8"},
		{
			op: "Reshape", in: []any{"float32[2,3]", []int64{-1, 4}},
			err: "has 6 elements, which shape [-1,4] does not divide",
		},
		{op: "Reshape", in: []any{"float32[2,3]", []int64{-1, -1}}, err: "more than one -1"},
		{op: "Reshape", in: []any{"float32[2,3]", []int64{-2, 3}}, err: "negative size -2"},
		{op: "Reshape", in: []any{"float32[2,3]", []int64{6, 1, 0}}, err: "copies dimension 2"},
		{
			op: "Reshape", in: []any{"float32[0,3]", []int64{0, -1}}, attrs: attrs(num("allowzero", 1)),
			err: "both 0 and -1",
		},
		{op: "Reshape", in: []any{"float32[2,3]", []float32{6}}, err: "want integers"},
		{op: "Reshape", in: []any{"float32[2,3]", int64(6)}, err: "want rank 1"},
		{op: "Reshape", in: []any{"float32[2,3]", []int64{math.MaxInt64, math.MaxInt64}}, err: "2^63"},

		{op: "Flatten", in: []any{x}, want: []string{"float32[batch,2304]"}},
		{op: "Flatten", in: []any{x}, attrs: attrs(num("axis", -1)), want: []string{"float32[?,12]"}},
		{op: "Flatten", in: []any{"float32[2,3]"}, attrs: attrs(num("axis", 0)), want: []string{"float32[1,6]"}},
		{op: "Flatten", in: []any{x}, attrs: attrs(num("axis", 5)), err: "axis 5 is out of range"},
		{op: "Flatten", opset: 9, in: []any{x}, attrs: attrs(num("axis", -1)), err: "axis -1 is out of range"},
	})
}

func TestSqueeze(t *testing.T) {
	const x = "float32[batch,1,3,1]"
	runCases(t, []opCase{
		{op: "Squeeze", in: []any{x, []int64{1, -1}}, want: []string{"float32[batch,3]"}},
		{op: "Squeeze", opset: 11, in: []any{x}, attrs: attrs(ints("axes", 1)), want: []string{"float32[batch,3,1]"}},
		{op: "Squeeze", in: []any{"float32[1,2,1]"}, want: []string{"float32[2]"}},
		{op: "Squeeze", in: []any{x}, want: []string{"float32[...]"}}, // batch might be 1
		{op: "Squeeze", in: []any{x, "int64[1]"}, want: []string{"float32[...]"}},
		{op: "Squeeze", in: []any{x, []int64{2}}, err: "axis 2 of input \"x0\" of shape [batch,1,3,1] is not 1"},
		{op: "Squeeze", in: []any{x, []int64{4}}, err: "axis 4 is out of range for rank 4"},
		{op: "Squeeze", in: []any{x, []int64{1, -3}}, err: "comes twice"},
		{op: "Unsqueeze", in: []any{"float32[batch,3]", []int64{0, -1}}, want: []string{"float32[1,batch,3,1]"}},
		{
			op: "Unsqueeze", opset: 11, in: []any{"float32[batch,3]"}, attrs: attrs(ints("axes", 1)),
			want: []string{"float32[batch,1,3]"},
		},
		{op: "Unsqueeze", in: []any{int64(5), []int64{0}}, want: []string{"int64[1]"}, ints: "5"},
		{op: "Unsqueeze", in: []any{"float32[3]", []int64{0, 0}}, err: "comes twice"},
		{op: "Unsqueeze", opset: 11, in: []any{"float32[3]"}, err: "axes is missing"},
		{op: "Unsqueeze", in: []any{"float32[3]"}, err: "1 inputs; want 2"},
	})
}

func TestSlice(t *testing.T) {
	const x = "float32[batch,10,h]"
	runCases(t, []opCase{
		{op: "Slice", in: []any{x, []int64{2}, []int64{7}, []int64{1}}, want: []string{"float32[batch,5,h]"}},
		{
			op: "Slice", in: []any{x, []int64{-3}, []int64{math.MaxInt64}, []int64{1}},
			want: []string{"float32[batch,3,h]"},
		},
		{
			op: "Slice", in: []any{x, []int64{9}, []int64{math.MinInt64}, []int64{1}, []int64{-2}},
			want: []string{"float32[batch,5,h]"},
		},
		{
			op: "Slice", in: []any{x, []int64{0}, []int64{math.MaxInt64}, []int64{2}},
			want: []string{"float32[batch,10,h]"},
		},
		{
			op: "Slice", in: []any{x, []int64{-1}, []int64{math.MinInt64}, []int64{2}, []int64{-1}},
			want: []string{"float32[batch,10,h]"},
		},
		{op: "Slice", in: []any{x, []int64{0}, []int64{3}, []int64{2}}, want: []string{"float32[batch,10,?]"}},
		{op: "Slice", in: []any{x, "int64[1]", []int64{3}, []int64{1}}, want: []string{"float32[batch,?,h]"}},
		{op: "Slice", in: []any{x, []int64{5}, []int64{2}, []int64{1}}, want: []string{"float32[batch,0,h]"}},
		{
			op: "Slice", opset: 9, in: []any{x}, attrs: attrs(ints("starts", 0, 1), ints("ends", 1, 4)),
			want: []string{"float32[?,3,h]"},
		},
		{
			op: "Slice", in: []any{[]int64{3, 4, 5, 6}, []int64{3}, []int64{0}, []int64{0}, []int64{-2}},
			want: []string{"int64[2]"}, ints: "6 4",
		},
		{
			op: "Slice", in: []any{[]int64{3, 4, 5, 6}, []int64{0}, []int64{math.MaxInt64}, nil, []int64{math.MaxInt64}},
			want: []string{"int64[1]"}, ints: "3",
		},
		{op: "Slice", in: []any{x, []int64{0}, []int64{1}, []int64{1}, []int64{0}}, err: "a step is 0"},
		{op: "Slice", in: []any{x, []int64{0}, []int64{1}, []int64{3}}, err: "axis 3 is out of range"},
		{op: "Slice", in: []any{x, []int64{0, 0}, []int64{1}}, err: "want as many of each"},
		{op: "Slice", opset: 9, in: []any{x}, attrs: attrs(ints("starts", 0)), err: "both needed"},
		{op: "Slice", in: []any{x}, err: "1 inputs; want 3 to 5"},
	})
}

func TestConcatAndSplit(t *testing.T) {
	runCases(t, []opCase{
		{
			op: "Concat", in: []any{"float32[batch,3,h]", "float32[batch,5,h]"}, attrs: attrs(num("axis", 1)),
			want: []string{"float32[batch,8,h]"},
		},
		{
			op: "Concat", in: []any{"float32[batch,3,h]", "float32[?,5,7]"}, attrs: attrs(num("axis", -2)),
			want: []string{"float32[batch,8,7]"},
		},
		{
			op: "Concat", in: []any{[]int64{1}, []int64{-1, 3}}, attrs: attrs(num("axis", 0)),
			want: []string{"int64[3]"}, ints: "1 -1 3",
		},
		{
			op: "Concat", in: []any{[]int64{1}, "int64[2]"}, attrs: attrs(num("axis", 0)), want: []string{"int64[3]"},
			ints: "1 ? ?",
		},
		{
			op: "Concat", in: []any{"float32[2,3]", "float32[...]"}, attrs: attrs(num("axis", 0)),
			want: []string{"float32[?,3]"},
		},
		{
			op: "Concat", in: []any{"float32[2,3]", "float32[2,4]"}, attrs: attrs(num("axis", 0)),
			err: "differ outside axis 0",
		},
		{
			op: "Concat", in: []any{"float32[2,3]", "float32[2]"}, attrs: attrs(num("axis", 0)),
			err: "differ outside axis 0",
		},
		{op: "Concat", in: []any{"float32[2,3]"}, err: "attribute axis is missing"},
		{
			op: "Concat", in: []any{"float32[2,3]", "int64[2,3]"}, attrs: attrs(num("axis", 0)),
			err: "they must have one type",
		},

		{
			op: "Split", opset: 11, in: []any{"float32[6,2]"}, attrs: attrs(ints("split", 2, 4)),
			want: []string{"float32[2,2]", "float32[4,2]"},
		},
		{
			op: "Split", opset: 13, in: []any{"float32[n,6]", []int64{1, 5}}, attrs: attrs(num("axis", 1)),
			want: []string{"float32[n,1]", "float32[n,5]"},
		},
		{op: "Split", opset: 13, in: []any{"float32[6]"}, want: []string{"float32[3]", "float32[3]"}},
		{
			op: "Split", in: []any{"float32[7]"}, attrs: attrs(num("num_outputs", 2)),
			want: []string{"float32[4]", "float32[3]"},
		},
		{op: "Split", in: []any{[]int64{1, 2, 3}, []int64{2, 1}}, want: []string{"int64[2]", "int64[1]"}, ints: "1 2"},
		{
			op: "Split", opset: 13, in: []any{"float32[7]"}, want: []string{"", ""},
			err: "size 7 does not divide into 2 parts",
		},
		{
			op: "Split", in: []any{"float32[5]"}, attrs: attrs(num("num_outputs", 4)), want: make([]string, 4),
			err: "does not divide into 4 parts",
		},
		{op: "Split", in: []any{"float32[7]", []int64{3, 3}}, want: []string{"", ""}, err: "parts [3,3] add up to 6"},
		{op: "Split", in: []any{"float32[7]", []int64{8, -1}}, want: []string{"", ""}, err: "negative size"},
		{op: "Split", in: []any{"float32[7]"}, err: "want one of the input split and the attribute num_outputs"},
	})
}

func TestOtherShapes(t *testing.T) {
	const x = "float32[batch,3,8,8]"
	runCases(t, []opCase{
		{op: "Transpose", in: []any{x}, attrs: attrs(ints("perm", 0, 2, 3, 1)), want: []string{"float32[batch,8,8,3]"}},
		{op: "Transpose", in: []any{"float32[2,h]"}, want: []string{"float32[h,2]"}},
		{op: "Transpose", in: []any{x}, attrs: attrs(ints("perm", 0, 2, 3, 3)), err: "no permutation"},
		{op: "Transpose", in: []any{x}, attrs: attrs(ints("perm", 0, 1)), err: "perm [0 1] has 2 values"},
		{op: "Pad", in: []any{x, []int64{0, 0, 1, -1, 0, 0, 2, 0}}, want: []string{"float32[batch,3,11,7]"}},
		{op: "Pad", in: []any{x, []int64{1, 2}, nil, []int64{-1}}, want: []string{"float32[batch,3,8,11]"}},
		{
			op: "Pad", opset: 9, in: []any{x}, attrs: attrs(ints("pads", 1, 0, 0, 0, 0, 0, 0, 0)),
			want: []string{"float32[?,3,8,8]"},
		},
		{
			op: "Pad", in: []any{x, []int64{0, 0, -9, 0, 0, 0, 0, 0}},
			err: "axis 2: pads -9 and 0 cut more than the size 8",
		},
		{op: "Pad", in: []any{x, []int64{0, 0}}, err: "pads: want 8 values, got 2"},
		{
			op: "Pad", opset: 13, in: []any{x, []int64{0, 0, 0, 0, 0, 0, 0, 0}}, attrs: attrs(str("mode", "wrap")),
			err: `mode "wrap" is not known in opset 13`,
		},
		{op: "Expand", in: []any{"float32[3,1]", []int64{2, 1, 6}}, want: []string{"float32[2,3,6]"}},
		{op: "Expand", in: []any{"float32[3,1]", []int64{2, 6}}, err: "do not broadcast"},
		{op: "Expand", in: []any{[]int64{7}, []int64{3}}, want: []string{"int64[3]"}, ints: "7 7 7"},
		{op: "Tile", in: []any{"float32[batch,3]", []int64{1, 2}}, want: []string{"float32[batch,6]"}},
		{op: "Tile", in: []any{"float32[batch,3]", []int64{2}}, err: "repeats has 1 values"},
		{op: "Tile", in: []any{"float32[batch,3]", []int64{1, math.MaxInt64}}, err: "64 bits"},
		{
			op: "DepthToSpace", in: []any{"float32[n,12,h,5]"}, attrs: attrs(num("blocksize", 2)),
			want: []string{"float32[n,3,?,10]"},
		},
		{
			op: "DepthToSpace", in: []any{"float32[1,6,2,2]"}, attrs: attrs(num("blocksize", 2)),
			err: "does not divide into blocks of 2",
		},
		{
			op: "SpaceToDepth", in: []any{"float32[n,3,4,6]"}, attrs: attrs(num("blocksize", 2)),
			want: []string{"float32[n,12,2,3]"},
		},
		{op: "SpaceToDepth", in: []any{"float32[n,3,4,6]"}, err: "blocksize is 0"},
		{op: "Resize", in: []any{x, nil, []float32{1, 1, 2, 0.6}}, want: []string{"float32[batch,3,16,4]"}},
		{op: "Resize", in: []any{x, nil, nil, []int64{1, 3, 5, 6}}, want: []string{"float32[1,3,5,6]"}},
		{
			op: "Resize", in: []any{x, nil, nil, []int64{4, 12}},
			attrs: attrs(ints("axes", 2, 3),
				str("keep_aspect_ratio_policy", "not_larger")), want: []string{"float32[batch,3,4,4]"},
		},
		{
			op: "Resize", opset: 11, in: []any{x, []float32{}, []float32{}, []int64{1, 3, 5, 6}},
			want: []string{"float32[1,3,5,6]"},
		},
		{op: "Resize", opset: 10, in: []any{x, []float32{1, 1, 2, 2}}, want: []string{"float32[batch,3,16,16]"}},
		{op: "Resize", in: []any{x, nil, []float32{1, 2}}, err: "want 4 values, got 2"},
		{op: "Resize", in: []any{x, nil, []float32{1, 1, 0, 1}}, err: "scale 0 of axis 2 is not above 0"},
		{op: "Resize", in: []any{x, nil, []float32{1, 1, 1e30, 1}}, err: "2^63"},
		{op: "Resize", in: []any{x}, err: "scales and sizes are both left out"},
		{
			op: "Upsample", opset: 9, in: []any{x, []float32{1, 1, 2, 0.6}},
			err: "scale 0.6 of axis 3 is below 1; Resize makes smaller",
		},
		{op: "Upsample", opset: 9, in: []any{x, []float32{1, 1, 2, 2}}, want: []string{"float32[batch,3,16,16]"}},
		{op: "Dropout", in: []any{x}, want: []string{x, "bool[batch,3,8,8]"}},
		{op: "Dropout", opset: 7, in: []any{x}, want: []string{x, x}},
		{op: "Dropout", opset: 10, in: []any{x, []float32{0.5}}, err: "2 inputs; want 1"},
	})
}
