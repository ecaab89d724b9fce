package shape_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"efcn/internal/constants"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// TestArguments: what a node takes, as attributes and as inputs, by axis.
func TestArguments(t *testing.T) {
	const x = "float32[batch,4,5]"
	pad := func(i *shape.Info, n *onnxio.Node) (any, error) { return i.Pad(n) }
	slice := func(i *shape.Info, n *onnxio.Node) (any, error) { return i.Slice(n) }
	axes := func(i *shape.Info, n *onnxio.Node) (any, error) { return i.ReduceAxes(n) }
	resize := func(i *shape.Info, n *onnxio.Node) (any, error) {
		r, err := i.Resize(n)
		return fmt.Sprintf("%+v", r), err
	}
	for _, c := range []struct {
		opCase
		of   func(*shape.Info, *onnxio.Node) (any, error)
		want string
	}{
		{opCase{
			op: "Pad", opset: 10, in: []any{x},
			attrs: attrs(ints("pads", 0, 1, 2, 0, -1, 3),
				onnxio.FloatAttr("value", 7)),
		}, pad, "{constant [0 1 2] [0 -1 3] 7}"},
		{
			opCase{op: "Pad", in: []any{x, []int64{1, 2}, []float32{7}, []int64{-1}}, attrs: attrs(str("mode", "edge"))},
			pad, "{edge [0 0 1] [0 0 2] 7}",
		},
		{opCase{op: "Pad", in: []any{x, []int64{0, 1, 0, 0, 0, 0}}}, pad, "{constant [0 1 0] [0 0 0] 0}"},
		{opCase{op: "Pad", in: []any{x, "int64[6]"}}, pad, `pads "x1" is computed at run time`},
		{opCase{op: "Pad", in: []any{x, []int64{1, 2}, nil, "int64[1]"}}, pad, `axes "x3" is computed at run time`},
		{
			opCase{op: "Pad", in: []any{x, []int64{1, 2}, "float32[]", []int64{1}}},
			pad,
			`constant_value "x2" is computed at run time`,
		},
		{opCase{op: "Pad", in: []any{"float32[...]", []int64{1, 2}}}, pad, `input "x0": its shape is not known`},
		{opCase{
			op: "Slice", opset: 9, in: []any{x},
			attrs: attrs(ints("starts", 1), ints("ends", -1), ints("axes", 2)),
		}, slice, "[{2 1 -1 1}]"},
		{
			opCase{op: "Slice", in: []any{x, []int64{1, 4}, []int64{3, 0}, []int64{1, -1}, []int64{1, -2}}},
			slice,
			"[{1 1 3 1} {2 4 0 -2}]",
		},
		{opCase{op: "Slice", in: []any{x, []int64{1, 0}, []int64{3, 2}}}, slice, "[{0 1 3 1} {1 0 2 1}]"},
		{opCase{op: "Slice", in: []any{x, "int64[1]", []int64{3}}}, slice, `starts "x1" is computed at run time`},
		{opCase{op: "Slice", in: []any{x, []int64{3}, "int64[1]"}}, slice, `ends "x2" is computed at run time`},
		{
			opCase{op: "Slice", in: []any{x, []int64{3}, []int64{3}, "int64[1]"}},
			slice,
			`axes "x3" is computed at run time`,
		},
		{
			opCase{op: "Slice", in: []any{x, []int64{3}, []int64{3}, []int64{0}, "int64[1]"}},
			slice,
			`steps "x4" is computed at run time`,
		},
		{opCase{op: "ReduceMean", opset: 17, in: []any{x}, attrs: attrs(ints("axes", -1, 1))}, axes, "[2 1]"},
		{opCase{op: "ReduceSum", opset: 13, in: []any{x, []int64{-2}}}, axes, "[1]"},
		{opCase{op: "ReduceMean", in: []any{x}}, axes, "[]"},
		{opCase{op: "ReduceMean", in: []any{x, "int64[1]"}}, axes, `axes "x1" is computed at run time`},
		{
			opCase{
				op: "Upsample", opset: 7, in: []any{x}, attrs: attrs(
					&onnxio.Attribute{Name: "scales", Type: onnxio.AttrFloats, Floats: []float32{1, 2, 1.5}}),
			},
			resize, "{Mode:nearest Coordinates:asymmetric Nearest: Antialias:false ExcludeOutside:false " +
				"AspectRatio:stretch Scales:[1 2 1.5]}",
		},
		{
			opCase{op: "Upsample", opset: 9, in: []any{x, []float32{1, 2, 1}}, attrs: attrs(str("mode", "linear"))},
			resize, "{Mode:linear Coordinates:asymmetric Nearest: Antialias:false ExcludeOutside:false " +
				"AspectRatio:stretch Scales:[1 2 1]}",
		},
		{opCase{op: "Upsample", opset: 9, in: []any{x, "float32[3]"}}, resize, `scales "x1" is computed at run time`},
		{
			opCase{op: "Resize", opset: 10, in: []any{x, []float32{1, 2, 0.5}}},
			resize, "{Mode:nearest Coordinates:asymmetric Nearest: Antialias:false ExcludeOutside:false " +
				"AspectRatio:stretch Scales:[1 2 0.5]}",
		},
		{
			opCase{
				op: "Resize", opset: 18, in: []any{x, nil, []float32{2, 3}},
				attrs: attrs(ints("axes", -1, 1), onnxio.IntAttr("antialias", 1)),
			},
			resize, "{Mode:nearest Coordinates:half_pixel Nearest:round_prefer_floor Antialias:true " +
				"ExcludeOutside:false AspectRatio:stretch Scales:[1 3 2]}",
		},
		{
			opCase{
				op: "Resize", opset: 18, in: []any{x, nil, nil, []int64{8}},
				attrs: attrs(ints("axes", 2), str("keep_aspect_ratio_policy", "not_larger"), str("nearest_mode", "ceil"),
					onnxio.IntAttr("exclude_outside", 1), str("coordinate_transformation_mode", "align_corners")),
			},
			resize, "{Mode:nearest Coordinates:align_corners Nearest:ceil Antialias:false ExcludeOutside:true " +
				"AspectRatio:not_larger Scales:[]}",
		},
		{opCase{op: "Resize", in: []any{x, nil, "float32[3]"}}, resize, `scales "x2" is computed at run time`},
		{
			opCase{op: "Resize", in: []any{x, nil, []float32{1, 2, 2}}, attrs: attrs(str("nearest_mode", ""))},
			resize, `nearest_mode "": want round_prefer_floor, round_prefer_ceil, floor or ceil`,
		},
	} {
		m := c.model(t)
		info, err := shape.Infer(m, shape.Options{Evaluate: constants.Evaluate})
		if err != nil {
			t.Errorf("%s: %v", c.op, err)
			continue
		}
		v, err := c.of(info, m.Graph.Nodes[0])
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %v: got %s, want %s", c.op, c.in, got, c.want)
		}
		var unknown *shape.NotConstantError
		if errors.As(err, &unknown) != strings.HasSuffix(c.want, "at run time") {
			t.Errorf("%s: %v is of type %T", c.op, err, err)
		}
	}
}

// TestSliceToBatch: an end that is the size of its axis, whatever that is.
func TestSliceToBatch(t *testing.T) {
	for axis, want := range map[int64]string{
		0: fmt.Sprintf("[{0 0 %d 1}]", math.MaxInt64),
		1: `ends "size" is computed at run time`,
	} {
		m := model(t, "float32[batch,4]",
			&onnxio.Node{OpType: "Shape", Inputs: []string{"x"}, Outputs: []string{"s"}},
			&onnxio.Node{OpType: "Gather", Inputs: []string{"s", "zero"}, Outputs: []string{"size"}},
			&onnxio.Node{OpType: "Slice", Inputs: []string{"x", "zero", "size", "axis"}, Outputs: []string{"y"}},
		)
		m.Graph.Initializers = append(m.Graph.Initializers, onnxio.NewTensor("zero", []int64{1}, []int64{0}),
			onnxio.NewTensor("axis", []int64{1}, []int64{axis}))
		info, err := shape.Infer(m, shape.Options{})
		if err != nil {
			t.Fatal(err)
		}
		list, err := info.Slice(m.Graph.Nodes[2])
		got := fmt.Sprint(list)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("axis %d: %s, want %s", axis, got, want)
		}
	}
}
