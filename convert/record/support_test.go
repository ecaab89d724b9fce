package record

import (
	"slices"
	"testing"
)

func TestRecordSupport(t *testing.T) {
	conv := Layer{
		Op: "Conv", InputShape: []int64{2, 3, 3}, OutputShape: []int64{4, 3, 3}, Group: 2,
		KernelShape: []int64{3, 3}, Strides: []int64{1, 1}, Dilations: []int64{1, 1}, Pads: []int64{1, 1, 1, 1},
	}
	m, err := conv.Support()
	if err != nil || m.Groups != 2 || m.Rows() != 36 || m.Cols() != 18 || m.NonZeros() != 4*49 {
		t.Fatalf("Conv: %+v, %v", m, err)
	}
	dims, taps := m.LocalDims()
	if !slices.Equal(dims, []int64{2, 9, 2, 9}) || taps != 9 {
		t.Errorf("local form %v, %d taps", dims, taps)
	}
	// The first position sees four inputs, the rest of its slots lie in padding.
	if got := m.LocalTable()[:9]; !slices.Equal(got, []int64{0, 1, 3, 4, 9, 9, 9, 9, 9}) {
		t.Errorf("table %v", got)
	}

	gemm := Layer{Op: "Gemm", InputShape: []int64{5}, OutputShape: []int64{3}}
	if m, err := gemm.Support(); err != nil || m.Rows() != 3 || m.Cols() != 5 || m.NonZeros() != 15 || !gemm.Connected() {
		t.Errorf("Gemm: %+v, %v", m, err)
	}
	resize := Layer{Op: "Resize", InputShape: []int64{1, 2, 2}, OutputShape: []int64{1, 4, 4}}
	if m, err := resize.Support(); m != nil || err != nil {
		t.Errorf("Resize: %+v, %v", m, err)
	}
	conv.Pads = conv.Pads[1:]
	if _, err := conv.Support(); err == nil {
		t.Error("a record without all pads has a support")
	}
}
