package shape_test

import (
	"strings"
	"testing"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

func TestRanks(t *testing.T) {
	sizes := func(v ...int64) *onnxio.Attribute { return onnxio.IntsAttr("sizes", v...) }
	for _, c := range []opCase{
		{op: onnxio.AllGather, in: []any{"float32[batch,3,4]"}, attrs: []*onnxio.Attribute{sizes(3, 2)}, want: []string{"float32[batch,5,4]"}},
		{op: onnxio.AllGather, in: []any{"float32[batch,2]"}, attrs: []*onnxio.Attribute{sizes(3, 2), onnxio.IntAttr("partial", 1)}, want: []string{"float32[batch,5]"}},
		{op: onnxio.AllGather, in: []any{"float32[batch,?]"}, attrs: []*onnxio.Attribute{sizes(3, 2)}, want: []string{"float32[batch,5]"}},
		{op: onnxio.AllGather, in: []any{"float32[...]"}, attrs: []*onnxio.Attribute{sizes(3, 2)}, want: []string{"float32[...]"}},
		{op: onnxio.AllGather, in: []any{"float32[batch,4]"}, attrs: []*onnxio.Attribute{sizes(3, 2)}, err: "is no part of the sizes"},
		{op: onnxio.AllGather, in: []any{"float32[batch]"}, attrs: []*onnxio.Attribute{sizes(3, 2)}, err: "want rank 2"},
		{op: onnxio.AllGather, in: []any{"float32[batch,3]"}, attrs: []*onnxio.Attribute{sizes(3, -2)}, err: "want sizes"},
		{op: onnxio.AllGather, in: []any{"float32[batch,3]", "float32[batch,3]"}, attrs: []*onnxio.Attribute{sizes(3)}, err: "2 inputs"},
		{op: onnxio.Spread, in: []any{"float32[batch,3,4]"}, want: []string{"float32[batch,3,4]"}},
	} {
		m := c.model(t)
		m.Graph.Nodes[0].Domain = onnxio.RanksDomain
		info, err := shape.Infer(m, shape.Options{})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s of %v: %v; want %q", c.op, c.in, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s of %v: %v", c.op, c.in, err)
			continue
		}
		want := parseType(t, c.want[0])
		if got, _ := info.Type("y0"); got.Elem != want.Elem || got.Shape.String() != want.Shape.String() {
			t.Errorf("%s of %v: %v, want %v", c.op, c.in, got, want)
		}
		// Without its domain it is no operator of ONNX.
		m.Graph.Nodes[0].Domain = ""
		if info, err = shape.Infer(m, shape.Options{}); err != nil || len(info.Unknown()) != 1 {
			t.Errorf("%s without a domain: %v", c.op, err)
		}
	}
}
