package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// colourful is the image of make_crops.py, moved by so much.
func colourful(height, width, move int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range height * width * 3 {
		m.Pix[i/3*4+i%3] = uint8(37*i + i*i/5 + move)
		m.Pix[i/3*4+3] = 255
	}
	return m
}

func save(t *testing.T, path string, m image.Image) {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, m)
	if filepath.Ext(path) == ".jpg" {
		b.Reset()
		err = jpeg.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	saveBytes(t, path, b.Bytes())
}

func saveBytes(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCropsOfTorchvision compares with what torchvision makes of the same images: to
// the bit where nothing is resized.
func TestCropsOfTorchvision(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("testdata", "crops.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Height, Width, Short int
		Crop                 [2]int
		Middle               [4]int
		X                    []float32
	}
	if err := json.Unmarshal(content, &cases); err != nil || len(cases) != 8 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	t.Chdir(t.TempDir())
	for i, c := range cases {
		dir := fmt.Sprint(i)
		save(t, filepath.Join(dir, "a", "1.png"), colourful(c.Height, c.Width, 0))
		resize, tolerance := "", 0.
		if c.Short > 0 {
			// Sums of float32 there, of float64 here: some units of values up to 1, divided by 0.22.
			resize, tolerance = fmt.Sprintf("&resize=%d", c.Short), 1e-5
		}
		spec := fmt.Sprintf("folder:%s?normalize=imagenet%s&crop=centre:%dx%d", dir, resize, c.Crop[0], c.Crop[1])
		s, err := Open(t.Context(), spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if len(s.X) != len(c.X) {
			t.Fatalf("%s: %d elements, want %d", spec, len(s.X), len(c.X))
		}
		for k, want := range c.X {
			if d := math.Abs(float64(s.X[k] - want)); d > tolerance {
				t.Errorf("%s: element %d is %v, torchvision has %v", spec, k, s.X[k], want)
				break
			}
		}
		w := crop{4, 5, true}.draw(frame{3, c.Height, c.Width, false}, nil)
		if got := [4]int{w.y, w.x, w.height, w.width}; got != c.Middle {
			t.Errorf("%d×%d: the window in the middle is %v, torchvision has %v", c.Height, c.Width, got, c.Middle)
		}
	}
}

// TestRandomWindows holds that windows lie in the image and have shares and shapes of
// RandomResizedCrop's, all of them.
func TestRandomWindows(t *testing.T) {
	f := frame{3, 300, 400, false}
	rng := rand.New(rand.NewPCG(1, 2))
	least, most, sum := 1., 0., 0.
	const draws = 4000
	for range draws {
		w := crop{224, 224, true}.draw(f, rng)
		if w.y < 0 || w.x < 0 || w.height < 1 || w.width < 1 || w.y+w.height > 300 || w.x+w.width > 400 {
			t.Fatalf("%+v", w)
		}
		share, ratio := float64(w.height*w.width)/(300*400), float64(w.width)/float64(w.height)
		if share < 0.075 || share > 1 || ratio < 0.74 || ratio > 1.345 { // sides are rounded
			t.Fatalf("%+v: share %v, ratio %v", w, share, ratio)
		}
		least, most, sum = min(least, share), max(most, share), sum+share
	}
	if least > 0.09 || most < 0.9 || sum/draws < 0.4 || sum/draws > 0.5 {
		t.Errorf("shares from %v to %v, mean %v", least, most, sum/draws)
	}
}

func samplesOf(t *testing.T, s *Set, seed uint64, epoch int) []float32 {
	t.Helper()
	g, err := NewAugmenter(s, Augment{})
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, s.N()*s.Size())
	for i := range s.N() {
		if err := g.Sample(i, seed, epoch, x[i*s.Size():(i+1)*s.Size()]); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// TestRandomCrop: images of any size become samples of one; what is drawn follows from
// the seed, the epoch and the sample.
func TestRandomCrop(t *testing.T) {
	t.Chdir(t.TempDir())
	for i, size := range [][2]int{{9, 12}, {30, 20}, {7, 7}, {16, 40}} {
		name := []string{"1.png", "2.jpg"}[i%2]
		save(t, filepath.Join("set", string(rune('a'+i/2)), name), colourful(size[0], size[1], i))
	}
	s, err := Open(t.Context(), "folder:set?crop=random:8x6&flip&normalize=imagenet")
	if err != nil {
		t.Fatal(err)
	}
	if !s.Streamed() || s.X != nil || !slices.Equal(s.Shape, []int{3, 8, 6}) || s.N() != 4 || !s.Augment.Flip {
		t.Fatalf("%+v", s)
	}
	first := samplesOf(t, s, 1, 1)
	if !slices.Equal(first, samplesOf(t, s, 1, 1)) {
		t.Error("an epoch does not repeat")
	}
	for _, other := range [][2]int{{2, 1}, {1, 2}} {
		again := samplesOf(t, s, uint64(other[0]), other[1])
		for i := range s.N() {
			if slices.Equal(first[i*s.Size():(i+1)*s.Size()], again[i*s.Size():(i+1)*s.Size()]) {
				t.Errorf("sample %d is the same at seed and epoch %v", i, other)
			}
		}
	}
	middle, again := make([]float32, 2*s.Size()), make([]float32, s.Size())
	if err := errors.Join(s.Batch([]int{0, 3}, middle), s.Batch([]int{3}, again)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(middle[s.Size():], again) || slices.Equal(middle[:s.Size()], again) {
		t.Error("a batch is not what it is made of")
	}

	// What is in memory is cropped in the same way.
	kept, err := Open(t.Context(), "cifar10:"+filepath.Join(testdata, "cifar")+"?split=test&crop=random:16&normalize=auto")
	if err != nil {
		t.Fatal(err)
	}
	if !kept.Streamed() || !slices.Equal(kept.Shape, []int{3, 16, 16}) || len(kept.Mean) != 3 {
		t.Fatalf("%+v", kept)
	}
	if slices.Equal(samplesOf(t, kept, 1, 1), samplesOf(t, kept, 1, 2)) {
		t.Error("two epochs are the same")
	}
	if kept.Hash() == s.Hash() {
		t.Error("two sets have one hash")
	}
}

// testdata is the absolute path of that folder.
var testdata = func() string {
	path, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return path
}()

func TestSkipBad(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 4 {
		save(t, fmt.Sprintf("set/a/%d.png", i), colourful(4, 5, i))
	}
	saveBytes(t, "set/a/1.png", []byte("\x89PNG\r\n\x1a\nbroken"))
	saveBytes(t, "set/a/3.png", []byte("text"))
	bad := filepath.FromSlash("set/a/1.png")
	for _, spec := range []string{"folder:set", "folder:set?normalize=auto"} {
		var broken *ImageError
		if _, err := Open(t.Context(), spec); !errors.As(err, &broken) || broken.Image != bad {
			t.Errorf("%s: %v", spec, err)
		}
	}
	want, err := Open(t.Context(), "folder:set?skip-bad")
	if err != nil {
		t.Fatal(err)
	}
	// The first pixel of the two that are left is their move.
	if want.N() != 2 || len(want.Skipped) != 2 || want.Skipped[0].Image != bad ||
		want.X[0] != 0 || want.X[want.Size()] != float32(2)/255 {
		t.Errorf("%+v", want)
	}
	s, err := Open(t.Context(), "folder:set?skip-bad&limit=1&crop=random:4")
	if err != nil || s.N() != 1 || len(s.Skipped) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	// Without it a streamed set is opened, and the image is named when it is taken.
	s, err = Open(t.Context(), "folder:set?crop=random:4")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Batch([]int{0, 3, 1, 2}, make([]float32, 4*s.Size()))
	var broken *ImageError
	if !errors.As(err, &broken) || broken.Image != filepath.FromSlash("set/a/3.png") {
		t.Errorf("got %v", err)
	}
}

func TestChannels(t *testing.T) {
	t.Chdir(t.TempDir())
	grey := image.NewGray(image.Rect(0, 0, 2, 1))
	grey.Pix = []uint8{51, 255}
	save(t, "set/a/1.png", grey)
	rgb := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	rgb.Set(0, 0, color.NRGBA{255, 51, 0, 255})
	rgb.Set(1, 0, color.NRGBA{0, 102, 153, 255})
	save(t, "set/b/1.png", rgb)
	s, err := Open(t.Context(), "folder:set?channels=3")
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{0.2, 1, 0.2, 1, 0.2, 1, 1, 0, 0.2, 0.4, 0, 0.6}
	if !slices.Equal(s.X, want) {
		t.Errorf("%v, want %v", s.X, want)
	}
}

func TestCropRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	save(t, "set/a/1.png", colourful(4, 5, 0))
	for _, c := range []struct{ spec, want string }{
		{"folder:set?crop=centre:5", "crop: 5×5 pixels of an image of 4×5; resize it before"},
		{"folder:set?crop=centre", "crop=centre: want centre:PIXELS, random:PIXELS"},
		{"folder:set?crop=middle:3", "crop=middle:3: want centre:PIXELS"},
		{"folder:set?crop=random:0", "crop=random:0: want"},
		{"folder:set?flip=yes", "flip=yes: want flip alone"},
		{"folder:set?channels=1", "channels=1: want 3"},
		{"folder:set?resize=x", "resize=x: want HEIGHTxWIDTH"},
		{"npz:x?skip-bad", `option "skip-bad" is not known; normalize, layout,`},
		{"folder:set?normalize=imagnet", "want MEAN/STD, imagenet, auto or none"},
	} {
		if _, err := Open(t.Context(), c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
	for _, spec := range []string{"folder:set?flip", "folder:set?crop=random:3"} {
		if _, err := OpenTest(t.Context(), spec, nil); err == nil || !strings.Contains(err.Error(), "a test set takes crop=centre") {
			t.Errorf("%s: %v", spec, err)
		}
		if _, _, err := OpenBoth(t.Context(), spec, spec); err == nil || !strings.Contains(err.Error(), "a test set takes crop=centre") {
			t.Errorf("%s twice: %v", spec, err)
		}
	}
}
