package data

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSplit: every sample is in one of the parts, in the order of the set, and which
// follows from the seed. A streamed set is parted as one in memory is.
func TestSplit(t *testing.T) {
	s := &Set{Shape: []int{2}, Labels: make([]int, 50), Classes: 3}
	for i := range s.Labels {
		s.Labels[i] = i % 3
		s.X = append(s.X, float32(i), float32(-i))
	}
	if err := s.validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	rest, part := s.Split(20, 7)
	var seen []int
	for _, p := range []*Set{rest, part} {
		var own []int
		for i := range p.N() {
			x := make([]float32, 2)
			if err := p.Batch([]int{i}, x); err != nil {
				t.Fatal(err)
			}
			if x[1] != -x[0] || p.Labels[i] != int(x[0])%3 {
				t.Errorf("sample %v has the label %d", x, p.Labels[i])
			}
			own = append(own, int(x[0]))
		}
		if !slices.IsSorted(own) {
			t.Errorf("%v is not in the order of the set", own)
		}
		seen = append(seen, own...)
	}
	slices.Sort(seen)
	if rest.N() != 30 || part.N() != 20 || len(slices.Compact(seen)) != 50 || s.N() != 50 || s.X[2] != 1 {
		t.Errorf("%d and %d of 50, %d different ones", rest.N(), part.N(), len(slices.Compact(seen)))
	}
	again, _ := s.Split(20, 7)
	if other, _ := s.Split(20, 8); !slices.Equal(again.X, rest.X) || slices.Equal(other.X, rest.X) {
		t.Error("the seed does not decide which samples are where")
	}
	if again.Hash() != rest.Hash() || rest.Hash() == part.Hash() || rest.Hash() == s.Hash() {
		t.Error("sets of other samples have one hash")
	}
}

func TestSplitStreamed(t *testing.T) {
	dir := t.TempDir()
	for i, class := range []string{"a", "b", "c"} {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o777); err != nil {
			t.Fatal(err)
		}
		for k := range 5 {
			m := image.NewGray(image.Rect(0, 0, 1, 1))
			m.Pix[0] = uint8(40*i + k)
			var b bytes.Buffer
			if err := png.Encode(&b, m); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, class, fmt.Sprintf("%d.png", k)), b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	held, err := Open(t.Context(), "folder:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	streamed, err := Open(t.Context(), "folder:"+dir+"?memory=1")
	if err != nil {
		t.Fatal(err)
	}
	if held.Streamed() || !streamed.Streamed() {
		t.Fatal("want one set in memory, one streamed")
	}
	rest, part := held.Split(6, 1)
	streamedRest, streamedPart := streamed.Split(6, 1)
	for _, p := range [][2]*Set{{rest, streamedRest}, {part, streamedPart}} {
		x := make([]float32, p[1].N()*p[1].Size())
		indices := make([]int, p[1].N())
		for i := range indices {
			indices[i] = i
		}
		if err := p[1].Batch(indices, x); err != nil || !slices.Equal(x, p[0].X) || !slices.Equal(p[0].Labels, p[1].Labels) {
			t.Errorf("%v: %v, labels %v; want %v, %v", err, x, p[1].Labels, p[0].X, p[0].Labels)
		}
	}
	if streamedRest.Hash() == streamedPart.Hash() || streamedRest.Hash() == streamed.Hash() {
		t.Error("streamed sets of other samples have one hash")
	}
}
