package shape_test

import (
	"slices"
	"strings"
	"testing"

	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// TestGeometry compares output sizes with those that ONNX Runtime computes,
// and the pads of every window with the output size that they lead to.
func TestGeometry(t *testing.T) {
	var cases []struct {
		Op         string
		X, Out     []int64
		Attributes struct {
			AutoPad       string  `json:"auto_pad"`
			CeilMode      int64   `json:"ceil_mode"`
			Dilations     []int64 `json:"dilations"`
			Kernel        []int64 `json:"kernel_shape"`
			OutputPadding []int64 `json:"output_padding"`
			OutputShape   []int64 `json:"output_shape"`
			Pads          []int64 `json:"pads"`
			Strides       []int64 `json:"strides"`
		}
	}
	load(t, "geometry.json.gz", &cases)
	compared := 0
	for i, c := range cases {
		a := c.Attributes
		n := &onnxio.Node{
			OpType: c.Op, Outputs: []string{"y"},
			Attributes: []*onnxio.Attribute{onnxio.IntsAttr("kernel_shape", a.Kernel...)},
		}
		for name, list := range map[string][]int64{
			"dilations": a.Dilations, "output_padding": a.OutputPadding, "output_shape": a.OutputShape, "pads": a.Pads, "strides": a.Strides,
		} {
			if list != nil {
				n.Attributes = append(n.Attributes, onnxio.IntsAttr(name, list...))
			}
		}
		if a.AutoPad != "" {
			n.Attributes = append(n.Attributes, onnxio.StringAttr("auto_pad", a.AutoPad))
		}
		if a.CeilMode != 0 {
			n.Attributes = append(n.Attributes, onnxio.IntAttr("ceil_mode", a.CeilMode))
		}
		x, w := append([]int64{2, 2}, c.X...), append([]int64{2, 2}, a.Kernel...)
		var window shape.Window
		var err error
		switch c.Op {
		case "Conv":
			window, err = shape.ConvWindow(n, x, w)
		case "ConvTranspose":
			window, err = shape.ConvTransposeWindow(n, x, w)
		default:
			window, err = shape.PoolWindow(n, x)
		}
		if err != nil {
			// ONNX Runtime makes an output without elements, or with one where a
			// negative quotient rounds to 0.
			if !strings.Contains(err.Error(), "is larger than the padded input") &&
				!strings.Contains(err.Error(), "the specification says") {
				t.Errorf("case %d: %s of %v, %+v: %v, want %v", i, c.Op, c.X, a, err, c.Out)
			}
			continue
		}
		if !slices.Equal(window.Out, c.Out) {
			t.Errorf("case %d: %s of %v, %+v: got %+v, want %v", i, c.Op, c.X, a, window, c.Out)
		}
		compared++
	}
	if want := 568; compared != want {
		t.Errorf("compared %d cases, want %d", compared, want)
	}
}
