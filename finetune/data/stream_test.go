package data

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"efcn/internal/kernel"
)

// TestStreamBound: however many samples are taken, no more of them are in the making
// than there are threads, and the set holds no pixels.
func TestStreamBound(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 300 {
		save(t, filepath.Join("set", fmt.Sprint(i%3), fmt.Sprintf("%03d.png", i)), colourful(12, 10, i))
	}
	const bound = 1 << 16 // of 300 × 360 floats, 432,000 bytes
	s, err := Open(fmt.Sprintf("folder:set?memory=%d&normalize=auto", bound))
	if err != nil {
		t.Fatal(err)
	}
	if all := 4 * s.N() * s.Size(); all <= bound || !s.Streamed() || s.X != nil {
		t.Fatalf("%d bytes, streamed: %v", all, s.Streamed())
	}
	want, err := Open("folder:set?normalize=auto")
	if err != nil {
		t.Fatal(err)
	}
	decoding.most.Store(0)
	indices := make([]int, s.N())
	for i := range indices {
		indices[i] = len(indices) - 1 - i
	}
	x := make([]float32, s.N()*s.Size())
	if err := s.Batch(indices, x); err != nil {
		t.Fatal(err)
	}
	if most := decoding.most.Load(); most < 1 || most > int64(kernel.Threads()) {
		t.Errorf("%d samples were in the making at once, on %d threads", most, kernel.Threads())
	}
	if now := decoding.now.Load(); now != 0 {
		t.Errorf("%d are left", now)
	}
	y := make([]float32, len(x))
	if err := want.Batch(indices, y); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x, y) || want.Streamed() {
		t.Error("the samples are not those in memory")
	}
}
