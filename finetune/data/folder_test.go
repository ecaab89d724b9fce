package data_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/finetune/data"
)

func encode(t *testing.T, m image.Image, asJPEG bool) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, m)
	if asJPEG {
		b.Reset()
		err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// grey is an image of one row.
func grey(values ...uint8) image.Image {
	m := image.NewGray(image.Rect(0, 0, len(values), 1))
	copy(m.Pix, values)
	return m
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "grey/b/1.png", encode(t, grey(51, 255), false))
	put(t, "grey/a/x.png", encode(t, grey(0, 102), false))
	put(t, "grey/a/y.jpg", encode(t, grey(204, 204), true))
	put(t, "grey/a/.hidden", []byte("anything"))
	if err := os.MkdirAll("grey/c", 0o777); err != nil {
		t.Fatal(err)
	}
	deep := image.NewGray16(image.Rect(0, 0, 1, 1))
	deep.SetGray16(0, 0, color.Gray16{Y: 0x1234})
	put(t, "deep/a/1.png", encode(t, deep, false))
	// An image that begins elsewhere than at 0, opaque, of two pixels.
	rgb := image.NewNRGBA(image.Rect(3, 4, 5, 5))
	rgb.Set(3, 4, color.NRGBA{255, 51, 0, 255})
	rgb.Set(4, 4, color.NRGBA{0, 102, 153, 255})
	put(t, "rgb/a/1.PNG", encode(t, rgb, false))
	palette := image.NewPaletted(image.Rect(0, 0, 2, 1),
		color.Palette{color.RGBA{0, 102, 153, 255}, color.RGBA{255, 51, 0, 255}})
	palette.Pix[0] = 1
	put(t, "palette/a/1.png", encode(t, palette, false))
	put(t, "sizes/a/1.png", encode(t, grey(0, 100, 200, 100), false))
	put(t, "sizes/b/1.png", encode(t, grey(51, 102), false))

	for _, c := range []struct {
		spec    string
		x       []float32
		shape   []int
		labels  []int
		classes int
	}{
		{"folder:grey", []float32{0, 0.4, 0.2, 1, 0.8, 0.8}, []int{1, 1, 2}, []int{0, 1, 0}, 3},
		{"folder:grey?limit=2&normalize=0.5/0.5", []float32{-1, -0.2, -0.6, 1}, []int{1, 1, 2}, []int{0, 1}, 3},
		{"folder:deep", []float32{0x1234 / 65535.}, []int{1, 1, 1}, []int{0}, 1},
		{"folder:rgb", []float32{1, 0, 0.2, 0.4, 0, 0.6}, []int{3, 1, 2}, []int{0}, 1},
		{"folder:palette", []float32{1, 0, 0.2, 0.4, 0, 0.6}, []int{3, 1, 2}, []int{0}, 1},
		{"folder:rgb?layout=nhwc", []float32{1, 0.2, 0, 0, 0.4, 0.6}, []int{1, 2, 3}, []int{0}, 1},
		{"folder:rgb?resize=1x1", []float32{0.5, 0.3, 0.3}, []int{3, 1, 1}, []int{0}, 1},
		{"folder:sizes?resize=1x2", []float32{50 / 255., 150 / 255., 0.2, 0.4}, []int{1, 1, 2}, []int{0, 1}, 2},
	} {
		s, err := data.Open(t.Context(), c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		near := func(a, b float32) bool { return math.Abs(float64(a-b)) <= 1.2e-7 }
		if !slices.EqualFunc(s.X, c.x, near) || !slices.Equal(s.Shape, c.shape) || !slices.Equal(s.Labels, c.labels) ||
			s.Classes != c.classes {
			t.Errorf("%s: got %+v", c.spec, s)
		}
	}
	s, err := data.Open(t.Context(), "folder:grey")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{2, 1, 0}; !slices.Equal(s.Counts(), want) {
		t.Errorf("counts %v, want %v", s.Counts(), want)
	}
}

func TestFolderRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	good := encode(t, grey(1, 2), false)
	if err := os.MkdirAll("empty", 0o777); err != nil {
		t.Fatal(err)
	}
	put(t, "flat/1.png", good)
	put(t, "text/a/notes.txt", []byte("notes"))
	put(t, "short/a/1.png", good[:50])
	put(t, "cut/a/1.jpg", encode(t, grey(1, 2), true)[:100])
	// The width in the header, big-endian from byte 16, and its checksum.
	huge := slices.Clone(good)
	copy(huge[16:], []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
	put(t, "crc/a/1.png", huge)
	put(t, "mixed/a/1.png", good)
	put(t, "mixed/b/1.png", encode(t, image.NewRGBA(image.Rect(0, 0, 2, 1)), false))
	opaque := image.NewRGBA(image.Rect(0, 0, 2, 1))
	opaque.Set(0, 0, color.White)
	opaque.Set(1, 0, color.Black)
	put(t, "colours/a/1.png", good)
	put(t, "colours/b/1.png", encode(t, opaque, false))
	put(t, "sizes/a/1.png", good)
	put(t, "sizes/b/1.png", encode(t, grey(1, 2, 3), false))
	put(t, "nested/a/b/1.png", good)
	for _, c := range []struct{ spec, want string }{
		{"folder:missing", "missing: no such file"},
		{"folder:empty", "no samples"},
		{"folder:flat", "flat/1.png: not a folder"},
		{"folder:text", "text/a/notes.txt: starts with 6e 6f 74 65; a PNG file starts with 89 50 4e 47"},
		{"folder:short", "short/a/1.png: broken or short, found by offset 50 of 50: png: "},
		{"folder:cut", "cut/a/1.jpg: broken or short, found by offset 100 of 100: "},
		{"folder:crc", "crc/a/1.png: broken or short, found by offset "},
		{"folder:mixed", "mixed/b/1.png: has transparent pixels"},
		{"folder:colours", "colours/a/1.png has shades of grey, colours/b/1.png has colours"},
		{"folder:sizes", "sizes/a/1.png has 1×2 pixels, sizes/b/1.png has 1×3; give resize=HxW"},
		{"folder:sizes?shift=1", "sizes/a/1.png: shift=1: would move images of 1×2 pixels out of sight"},
		{"folder:nested", "nested/a/b: is a directory"},
	} {
		if _, err := data.Open(t.Context(), c.spec); err == nil ||
			!strings.Contains(strings.ReplaceAll(err.Error(), "read ", ""), filepath.FromSlash(c.want)) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
}
