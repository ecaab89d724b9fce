package shape_test

import (
	"math"
	"testing"

	"efcn/onnxio"
)

func TestElementwise(t *testing.T) {
	runCases(t, []opCase{
		{op: "Relu", in: []any{"float32[batch,3]"}, want: []string{"float32[batch,3]"}},
		{op: "Softmax", in: []any{"float32[batch,3]"}, want: []string{"float32[batch,3]"}},
		{op: "Softmax", in: []any{"float32[batch,3]"}, attrs: attrs(num("axis", 2)), err: "axis 2 is out of range"},
		{
			op: "Softmax", opset: 11, in: []any{"float32[batch,3]"}, attrs: attrs(num("axis", 2)),
			want: []string{"float32[batch,3]"},
		},
		{op: "Sigmoid", in: []any{"int32[batch,3]"}, err: "want a floating-point type"},
		{op: "Not", in: []any{"int32[batch,3]"}, err: "want bool"},
		{op: "PRelu", in: []any{"float32[batch,3,8]", "float32[3,1]"}, want: []string{"float32[batch,3,8]"}},
		{op: "PRelu", in: []any{"float32[batch,3,8]", "float32[4,1]"}, err: "does not broadcast"},
		{op: "Clip", in: []any{"float32[batch,3]", nil, []float32{6}}, want: []string{"float32[batch,3]"}},
		{op: "Clip", in: []any{"float32[batch,3]", []float32{1, 2}}, err: "want a scalar"},
		{op: "Clip", opset: 6 + 1, in: []any{"float32[3]", []float32{1}}, err: "2 inputs; want 1"},
		{op: "Cast", in: []any{"float32[batch,3]"}, attrs: attrs(num("to", 7)), want: []string{"int64[batch,3]"}},
		{
			op: "Cast", in: []any{[]float32{2.7, -2.7}}, attrs: attrs(num("to", 7)), want: []string{"int64[2]"},
			ints: "2 -2",
		},
		{op: "Cast", in: []any{"float32[3]"}, err: "attribute to is 0"},
		{op: "Gelu", opset: 19, in: []any{"float32[3]"}, want: []string{"undefined[...]"}}, // not yet there
	})
}

func TestArithmetic(t *testing.T) {
	runCases(t, []opCase{
		{op: "Add", in: []any{"float32[batch,16,7,7]", "float32[16,1,1]"}, want: []string{"float32[batch,16,7,7]"}},
		{op: "Add", in: []any{"float32[batch,1]", "float32[1,7]"}, want: []string{"float32[batch,7]"}},
		{op: "Add", in: []any{"float32[batch]", "float32[7]"}, want: []string{"float32[7]"}}, // batch is 1 or 7
		{op: "Add", in: []any{"float32[a]", "float32[b]"}, want: []string{"float32[?]"}},
		{op: "Add", in: []any{"float32[0]", "float32[1]"}, want: []string{"float32[0]"}},
		{
			op: "Add", in: []any{"float32[2,3]", "float32[4]"},
			err: "have shapes [2,3] and [4]: sizes 3 and 4 do not broadcast",
		},
		{op: "Add", in: []any{"float32[2]", "float64[2]"}, err: "they must have one type"},
		{op: "Add", in: []any{[]int64{math.MaxInt64}, []int64{1}}, want: []string{"int64[1]"}, ints: "?"},
		{op: "Mul", in: []any{[]int64{3, -4}, int64(5)}, want: []string{"int64[2]"}, ints: "15 -20"},
		{
			op: "Div", in: []any{[]int64{7, -7, math.MinInt64}, []int64{2, 2, -1}}, want: []string{"int64[3]"},
			ints: "3 -3 ?",
		},
		{op: "Div", in: []any{[]int64{7}, []int64{0}}, want: []string{"int64[1]"}, ints: "?"},
		{op: "Mod", in: []any{[]int64{7, -7}, []int64{-3, 3}}, want: []string{"int64[2]"}, ints: "-2 2"},
		{op: "Max", in: []any{[]int64{7}, []int64{3}, []int64{9}}, want: []string{"int64[1]"}, ints: "9"},
		{op: "Equal", in: []any{[]int64{7, 8}, []int64{7, 9}}, want: []string{"bool[2]"}, ints: "1 0"},
		{
			op: "Where", in: []any{[]bool{true, false}, []int64{1, 2}, []int64{3, 4}}, want: []string{"int64[2]"},
			ints: "1 4",
		},
		{op: "Where", in: []any{"bool[2]", []int64{1, 2}, []int64{3, 2}}, want: []string{"int64[2]"}, ints: "? 2"},
		{op: "Where", in: []any{"bool[2]", "float32[3]", "float32[1]"}, err: "do not broadcast"},
		{op: "Pow", in: []any{"float32[batch]", "int64[1]"}, want: []string{"float32[batch]"}},
		{op: "And", in: []any{"bool[2]", "int64[2]"}, err: "want bool"},
		{op: "Sum", in: []any{"float32[2,1]", "float32[3]", "float32[1]"}, want: []string{"float32[2,3]"}},
		{op: "Sum", in: []any{"float32[2,1]", nil}, err: "input 1 is left out"},
		{op: "Range", in: []any{int64(2), int64(9), int64(3)}, want: []string{"int64[3]"}, ints: "2 5 8"},
		{op: "Range", in: []any{int64(9), int64(2), int64(3)}, want: []string{"int64[0]"}},
		{
			op: "Range", in: []any{int64(math.MaxInt64), int64(math.MinInt64), int64(-1)},
			err: "more elements than 64 bits count",
		},
		{op: "Range", in: []any{int64(2), int64(9), int64(0)}, err: "delta is 0"},
		{op: "ConstantOfShape", in: []any{[]int64{2, 3}}, want: []string{"float32[2,3]"}},
		{
			op: "ConstantOfShape", in: []any{[]int64{2}},
			attrs: attrs(&onnxio.Attribute{
				Name: "value", Type: onnxio.AttrTensor,
				T: onnxio.NewTensor("", []int64{1}, []int64{-5}),
			}), want: []string{"int64[2]"}, ints: "-5 -5",
		},
		{op: "ConstantOfShape", in: []any{[]int64{-2}}, err: "negative size -2"},
		{op: "ConstantOfShape", in: []any{[]int64{1 << 40, 1 << 40}}, err: "2^63"},
		{op: "Constant", attrs: attrs(ints("value_ints", 4, -1)), want: []string{"int64[2]"}, ints: "4 -1"},
		{op: "Constant", want: []string{""}, err: "want one attribute, got 0"},
		{op: "Constant", attrs: attrs(num("value", 1)), err: "attribute value of type int is no constant"},
	})
}

func TestMatrices(t *testing.T) {
	runCases(t, []opCase{
		{
			op: "Gemm", in: []any{"float32[batch,576]", "float32[10,576]", "float32[10]"},
			attrs: attrs(num("transB", 1)), want: []string{"float32[batch,10]"},
		},
		{
			op: "Gemm", in: []any{"float32[3,2]", "float32[3,4]"}, attrs: attrs(num("transA", 1)),
			want: []string{"float32[2,4]"},
		},
		{op: "Gemm", in: []any{"float32[3,2]", "float32[3,4]"}, err: "share no inner size: 2 and 3"},
		{op: "Gemm", in: []any{"float32[3,2]", "float32[2,4]", "float32[5]"}, err: "does not broadcast to [3,4]"},
		{op: "Gemm", in: []any{"float32[3,2,1]", "float32[2,4]"}, err: "want rank 2"},
		{op: "Gemm", opset: 9, in: []any{"float32[3,2]", "float32[2,4]"}, err: "2 inputs; want 3"},
		{op: "MatMul", in: []any{"float32[batch,1,3,2]", "float32[5,2,4]"}, want: []string{"float32[batch,5,3,4]"}},
		{op: "MatMul", in: []any{"float32[2]", "float32[2,4]"}, want: []string{"float32[4]"}},
		{op: "MatMul", in: []any{"float32[2]", "float32[2]"}, want: []string{"float32[]"}},
		{op: "MatMul", in: []any{"float32[3,2]", "float32[3,4]"}, err: "share no inner size: 2 and 3"},
		{op: "MatMul", in: []any{"float32[2,3,2]", "float32[3,2,4]"}, err: "batch axes"},
		{op: "MatMul", in: []any{"float32[]", "float32[2]"}, err: "want rank 1 or more"},
	})
}

func TestReduce(t *testing.T) {
	const x = "float32[batch,3,8,8]"
	runCases(t, []opCase{
		{
			op: "ReduceMean", opset: 17, in: []any{x}, attrs: attrs(ints("axes", -1, 2), num("keepdims", 0)),
			want: []string{"float32[batch,3]"},
		},
		{op: "ReduceMean", in: []any{x, []int64{2, 3}}, want: []string{"float32[batch,3,1,1]"}},
		{op: "ReduceMean", in: []any{x}, attrs: attrs(num("keepdims", 0)), want: []string{"float32[]"}},
		{op: "ReduceMean", in: []any{x, []int64{}}, attrs: attrs(num("noop_with_empty_axes", 1)), want: []string{x}},
		{op: "ReduceMean", in: []any{x, "int64[1]"}, want: []string{"float32[?,?,?,?]"}},
		{op: "ReduceSum", opset: 13, in: []any{x, []int64{1}}, want: []string{"float32[batch,1,8,8]"}},
		{
			op: "ReduceProd", in: []any{[]int64{2, 3, 7}}, attrs: attrs(num("keepdims", 0)), want: []string{"int64[]"},
			ints: "42",
		},
		{op: "ReduceMean", opset: 17, in: []any{x, []int64{1}}, err: "2 inputs; want 1"},
		{op: "ReduceMean", in: []any{x, []int64{4}}, err: "axis 4 is out of range"},
		{
			op: "ArgMax", in: []any{x}, attrs: attrs(num("axis", 1), num("keepdims", 0)),
			want: []string{"int64[batch,8,8]"},
		},
		{op: "TopK", in: []any{"float32[batch,10]", []int64{3}}, want: []string{"float32[batch,3]", "int64[batch,3]"}},
		{op: "TopK", in: []any{"float32[batch,10]", []int64{11}}, want: []string{"", ""}, err: "more than axis 1"},
	})
}

func TestGather(t *testing.T) {
	runCases(t, []opCase{
		{
			op: "Compress", in: []any{"float32[batch,3,8]", []bool{true, false, true, true}},
			attrs: attrs(num("axis", -1)), want: []string{"float32[batch,3,3]"},
		},
		{op: "Compress", in: []any{"float32[3,2]", []bool{true, false, true, true}}, want: []string{"float32[3]"}},
		{
			op: "Compress", in: []any{"float32[batch,3,8]", "bool[8]"}, attrs: attrs(num("axis", 1)),
			want: []string{"float32[batch,?,8]"},
		},
		{
			op: "Gather", in: []any{"float32[batch,10]", "int64[4,h]"}, attrs: attrs(num("axis", 1)),
			want: []string{"float32[batch,4,h]"},
		},
		{op: "Gather", in: []any{[]int64{5, 6, 7}, int64(-1)}, want: []string{"int64[]"}, ints: "7"},
		{op: "Gather", in: []any{[]int64{5, 6, 7}, []int64{3}}, err: "index 3 is out of range for axis 0"},
		{op: "Gather", in: []any{"float32[2]", "float32[2]"}, err: "want integers"},
		{
			op: "Gather", in: []any{"float32[2]", "int64[2]"}, attrs: attrs(num("axis", 1)),
			err: "axis 1 is out of range",
		},
		{op: "GatherElements", in: []any{"float32[2,3]", "int64[1,3]"}, want: []string{"float32[1,3]"}},
		{op: "GatherND", in: []any{"float32[2,3,4]", "int64[5,2]"}, want: []string{"float32[5,4]"}},
		{op: "GatherND", in: []any{"float32[2,3]", "int64[5,3]"}, err: "index 3 axes"},
		{op: "Shape", in: []any{"float32[batch,3,8]"}, want: []string{"int64[3]"}, ints: "batch 3 8"},
		{
			op: "Shape", in: []any{"float32[batch,3,8]"}, attrs: attrs(num("start", -2), num("end", 9)),
			want: []string{"int64[2]"}, ints: "3 8",
		},
		{op: "Size", in: []any{"float32[2,3,8]"}, want: []string{"int64[]"}, ints: "48"},
	})
}
