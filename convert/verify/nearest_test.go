package verify

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"efcn/onnxio"
)

// resizing returns a structure with a nearest Resize of x to y alone.
func resizing(opset int64, op string, in, out []int, scales []float32, sizes []int64, attrs ...*onnxio.Attribute) (*structure, *onnxio.Node) {
	s := &structure{
		cnn:    &net{opset: opset, constants: make(map[string]*onnxio.Tensor)},
		shapes: map[string][]int{"x": in, "y": out},
	}
	node := &onnxio.Node{OpType: op, Inputs: []string{"x", "", "", ""}, Outputs: []string{"y"}, Attributes: attrs}
	if op == "Upsample" || opset < 11 {
		node.Inputs[1] = "scales"
	} else if scales != nil {
		node.Inputs[2] = "scales"
	} else {
		node.Inputs[3] = "sizes"
	}
	s.cnn.constants["scales"] = onnxio.NewTensor("scales", []int64{int64(len(scales))}, scales)
	s.cnn.constants["sizes"] = onnxio.NewTensor("sizes", []int64{int64(len(sizes))}, sizes)
	return s, node
}

// TestNearest compares what is worked out from the page of Resize with what
// ONNX's reference implementation selects (testdata/scripts/make_nearest.py).
func TestNearest(t *testing.T) {
	text, err := os.ReadFile("testdata/nearest.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 9 {
			t.Fatalf("%q: want 9 fields", line)
		}
		numbers := func(i int) (v []float32) {
			for _, word := range strings.Split(f[i], ",") {
				n, err := strconv.ParseFloat(word, 32)
				if err != nil {
					t.Fatal(err)
				}
				v = append(v, float32(n))
			}
			return v
		}
		var sizes, axes []int64
		var shapes [3][]int // of the input, of the output, and the indices
		for i, at := range []int{3, 7, 8} {
			for _, v := range numbers(at) {
				shapes[i] = append(shapes[i], int(v))
			}
		}
		scales := numbers(5)
		if f[4] == "sizes" {
			for _, v := range scales {
				sizes = append(sizes, int64(v))
			}
			scales = nil
		}
		for i, v := range numbers(6) {
			axes = append(axes, int64(v))
			if i%2 == 1 { // the reference implementation takes none from the end
				axes[i] -= int64(len(shapes[0]))
			}
		}
		s, node := resizing(19, "Resize", shapes[0], shapes[1], scales, sizes,
			onnxio.StringAttr("coordinate_transformation_mode", f[0]), onnxio.StringAttr("nearest_mode", f[1]),
			onnxio.StringAttr("keep_aspect_ratio_policy", f[2]), onnxio.IntsAttr("axes", axes...))
		if got, err := s.selection(node, 0); err != nil || !slices.Equal(got, shapes[2]) {
			t.Errorf("%s: got %v (%v)", line, got, err)
		}
	}
	if len(lines) != 122 {
		t.Errorf("%d cases", len(lines))
	}
}

// TestNearestOtherVersions: before Resize-11 an index is the floor of p/scale, its
// ceiling where scale is below 1 (the fourth case is an axis of what ONNX Runtime 1.32
// gives);
// tf_half_pixel_for_nn, which the reference implementation does not have, is the
// floor and so on of (p + 0.5)/scale.
func TestNearestOtherVersions(t *testing.T) {
	tests := []struct {
		opset  int64
		op     string
		scales []float32
		attrs  []*onnxio.Attribute
		want   []int
	}{
		{9, "Upsample", []float32{1, 1, 1.5}, nil, []int{0, 0, 1, 2, 2, 3}},
		{10, "Resize", []float32{1, 1, 2}, nil, []int{0, 0, 1, 1, 2, 2, 3, 3}},
		{10, "Resize", []float32{1, 1, 1.6}, nil, []int{0, 0, 1, 1, 2, 3}},
		{10, "Resize", []float32{1, 1, 0.9}, nil, []int{0, 2, 3}},
		{11, "Resize", []float32{1, 1, 1.5}, []*onnxio.Attribute{onnxio.StringAttr("coordinate_transformation_mode", "tf_half_pixel_for_nn"), onnxio.StringAttr("nearest_mode", "floor")}, []int{0, 1, 1, 2, 3, 3}},
		{11, "Resize", []float32{1, 1, 1}, []*onnxio.Attribute{onnxio.StringAttr("coordinate_transformation_mode", "tf_half_pixel_for_nn"), onnxio.StringAttr("nearest_mode", "ceil")}, []int{0, 1, 2, 3}},
	}
	for _, test := range tests {
		s, node := resizing(test.opset, test.op, []int{1, 1, 4}, []int{1, 1, len(test.want)}, test.scales, nil, test.attrs...)
		if got, err := s.selection(node, 0); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s-%d: got %v (%v), want %v", test.op, test.opset, got, err, test.want)
		}
	}
}

func TestNearestRefuses(t *testing.T) {
	str := onnxio.StringAttr
	tests := []struct {
		opset  int64
		out    int
		scales []float32
		sizes  []int64
		attrs  []*onnxio.Attribute
		want   string
	}{
		{19, 8, []float32{1, 1, 2}, nil, []*onnxio.Attribute{str("mode", "linear")}, "mode linear gives elements that are none of its input"},
		{19, 8, []float32{1, 1, 2}, nil, []*onnxio.Attribute{onnxio.IntAttr("antialias", 1)}, "antialias 1 has no meaning"},
		{19, 8, []float32{1, 1, 2}, nil, []*onnxio.Attribute{str("coordinate_transformation_mode", "tf_crop_and_resize")}, "not worked out here"},
		{19, 8, []float32{1, 1, 2}, nil, []*onnxio.Attribute{str("nearest_mode", "round")}, `nearest_mode "round" is unknown`},
		{19, 8, nil, []int64{1, 1, 8}, []*onnxio.Attribute{str("keep_aspect_ratio_policy", "fit"), onnxio.IntsAttr("axes", 0, 1, 2)}, "scales the batch"},
		{19, 8, nil, []int64{8}, []*onnxio.Attribute{str("keep_aspect_ratio_policy", "fit"), onnxio.IntsAttr("axes", 2)}, `keep_aspect_ratio_policy "fit" is unknown`},
		{19, 8, nil, []int64{1, 8}, nil, "0 scales and 2 sizes for 3 axes"},
		{19, 7, []float32{1, 1, 2}, nil, nil, "does not give 7"},
		{19, 9, nil, []int64{1, 1, 8}, nil, "does not give 9"},
		{19, 8, []float32{1, 1, -2}, nil, nil, "scale -2/1 of axis 2"},
		{19, 4, []float32{2, 1, 1}, nil, nil, "scale 2/1 of an axis of 1 does not give 1"},
	}
	for i, test := range tests {
		s, node := resizing(test.opset, "Resize", []int{1, 1, 4}, []int{1, 1, test.out}, test.scales, test.sizes, test.attrs...)
		if _, err := s.selection(node, 0); err == nil || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%d: error %v, want %q", i, err, test.want)
		}
	}
}
