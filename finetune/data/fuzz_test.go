package data

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The readers take whatever a file holds: an error that names the file, or a set
// that fits together.

func checkSet(t *testing.T, path string, s *Set, err error) {
	t.Helper()
	if err != nil {
		if !strings.Contains(err.Error(), filepath.Base(path)) && !strings.Contains(err.Error(), "no samples") {
			t.Errorf("the error names no file: %v", err)
		}
		return
	}
	if len(s.X) != s.N()*s.Size() {
		t.Fatalf("%d elements for %d samples of shape %v", len(s.X), s.N(), s.Shape)
	}
	for _, y := range s.Labels {
		if y < 0 || y >= s.Classes {
			t.Fatalf("label %d of %d classes", y, s.Classes)
		}
	}
	if slices.ContainsFunc(s.X, func(v float32) bool { return v < 0 || v > 1 || math.IsNaN(float64(v)) }) {
		t.Fatal("a pixel is not between 0 and 1")
	}
}

func fuzzFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func FuzzIDX(f *testing.F) {
	f.Add([]byte{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8}, uint8(0))
	f.Add([]byte{0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, uint8(3))
	f.Add([]byte{0x1f, 0x8b, 8, 0}, uint8(0))
	f.Fuzz(func(t *testing.T, content []byte, limit uint8) {
		path := fuzzFile(t, "images", content)
		data, shape, err := readIDX(path, 3, int(limit))
		if err == nil && len(data) != shape[0]*shape[1]*shape[2] {
			t.Fatalf("%d bytes for shape %v", len(data), shape)
		}
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Fatalf("the error names no file: %v", err)
		}
	})
}

func FuzzCIFAR(f *testing.F) {
	f.Add(make([]byte, 3073), false)
	f.Add(make([]byte, 3075), true)
	f.Fuzz(func(t *testing.T, content []byte, hundred bool) {
		c, path := newCIFAR10(), fuzzFile(t, "test_batch.bin", content)
		if hundred {
			c = newCIFAR100(false)
			c.test = []string{"test_batch.bin"}
		}
		s, err := c.open(filepath.Dir(path), options{test: true, memory: defaultMemory})
		checkSet(t, path, s, err)
	})
}

func FuzzImage(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" +
		"IHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55"))
	f.Add([]byte{0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 1, 0, 1, 1, 1, 0x11, 0})
	f.Fuzz(func(t *testing.T, content []byte) {
		g, pixels, err := decodeImage(content, false, false)
		if err == nil && (len(pixels) != g.size() ||
			slices.ContainsFunc(pixels, func(v float32) bool { return v < 0 || v > 1 })) {
			t.Fatalf("%d pixels for %v", len(pixels), g)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add("normalize=0.5,1/2&limit=3&shift=2&shift-seed=9&resize=3x2&layout=nhwc&split=test&labels=coarse")
	f.Add("normalize=imagenet&resize=9&crop=centre:4x3")
	f.Add("crop=random:3x7&flip&shift=1")
	f.Fuzz(func(t *testing.T, query string) {
		o, err := parseOptions("cifar100", query, false)
		if err != nil {
			return
		}
		if o.limit < 0 || o.shift < 0 || o.height < 0 || (o.height == 0) != (o.width == 0) ||
			len(o.mean) > 0 != (len(o.std) > 0) {
			t.Fatalf("%q: %+v", query, o)
		}
		from := frame{3, 4, 5, o.nhwc}
		to, err := o.after(from)
		if err != nil || to.size() > 1<<16 || o.resized(from).size() > 1<<16 {
			return
		}
		src, dst := make([]float32, from.size()), make([]float32, to.size())
		for i := range src {
			src[i] = float32(i%7) / 6
		}
		o.apply(dst, src, from, 1, rand.New(rand.NewPCG(1, 2)))
		// Weights sum to 1, so nothing leaves the range but by rounding.
		if slices.ContainsFunc(dst, func(v float32) bool { return !(v >= 0 && v <= 1+1e-6) }) && o.height > 0 {
			t.Fatalf("%q: %v", query, dst)
		}
	})
}
