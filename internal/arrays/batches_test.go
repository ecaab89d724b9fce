package arrays

import (
	"slices"
	"testing"

	"efcn/onnxio"
)

// TestBatches: batches of several arrays are put together by name, and copied.
func TestBatches(t *testing.T) {
	var b Batches
	x := []float32{1, 2, 3, 4}
	for _, batch := range [][]*onnxio.Tensor{
		{onnxio.NewTensor("x", []int64{2, 2}, x), onnxio.NewTensor("n", []int64{1}, []int64{7})},
		{onnxio.NewTensor("x", []int64{1, 2}, []float32{5, 6}), onnxio.NewTensor("n", []int64{2}, []int64{8, 9})},
	} {
		if err := b.Append("in/", batch); err != nil {
			t.Fatal(err)
		}
		x[0] = 100 // the first batch is the caller's again
	}
	got := b.Tensors()
	if len(got) != 2 || got[0].Name != "in/x" || Describe(got[0]) != "float32 [3 2]" || got[1].Name != "in/n" ||
		Describe(got[1]) != "int64 [3]" {
		t.Fatalf("got %v", got)
	}
	for i, want := range [][]float64{{1, 2, 3, 4, 5, 6}, {7, 8, 9}} {
		if v, err := Numbers(got[i]); err != nil || !slices.Equal(v, want) {
			t.Errorf("%s: %v (%v), want %v", got[i].Name, v, err, want)
		}
	}
	for name, bad := range map[string]*onnxio.Tensor{
		"another shape": onnxio.NewTensor("x", []int64{1, 3}, []float32{5, 6, 7}),
		"another type":  onnxio.NewTensor("x", []int64{1, 2}, []float64{5, 6}),
		"no axes":       onnxio.NewTensor("y", nil, []float32{1}),
	} {
		if err := b.Append("in/", []*onnxio.Tensor{bad}); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
