package data_test

import (
	"bytes"
	"compress/gzip"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/finetune/data"
	"efcn/internal/arrays"
	"efcn/onnxio"
)

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	images = []byte{0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 51, 102, 153, 204}
	labels = []byte{0, 0, 8, 1, 0, 0, 0, 3, 0, 2, 1}
)

func npzBytes(t *testing.T, all ...*onnxio.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := arrays.WriteNPZ(&b, all); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ints(t *testing.T, name string, typ onnxio.DataType, shape []int64, v ...int64) *onnxio.Tensor {
	t.Helper()
	a, err := arrays.FromInts(name, typ, shape, v)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "images", images)
	write(t, dir, "labels", labels)
	write(t, dir, "images.gz", gzipped(t, images))
	write(t, dir, "labels.gz", gzipped(t, labels))
	write(t, dir, "short", images[:20])
	write(t, dir, "long", append(slices.Clone(images), 7))
	write(t, dir, "short.gz", gzipped(t, images)[:30])
	write(t, dir, "huge", []byte{0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	write(t, dir, "wide", []byte{0, 0, 8, 3, 127, 255, 255, 255, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3})
	write(t, dir, "two", []byte{0, 0, 8, 1, 0, 0, 0, 2, 0, 1})
	write(t, dir, "none", []byte{0, 0, 8, 1, 0, 0, 0, 0})
	write(t, dir, "noimages", []byte{0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2})
	write(t, dir, "floats", []byte{0, 0, 13, 3, 0, 0, 0, 1})
	write(t, dir, "text", []byte("not an image file"))
	write(t, dir, "empty", nil)
	write(t, dir, "flat", []byte{0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9})

	x := []float32{1, 2, 3, 10, 20, 30, 5, 6, 7, 50, 60, 70}
	y := ints(t, "y", onnxio.Int64, []int64{2}, 1, 0)
	write(t, dir, "good.npz", npzBytes(t, onnxio.NewTensor("x", []int64{2, 2, 1, 3}, x), y))
	write(t, dir, "bytes.npz",
		npzBytes(t, ints(t, "x", onnxio.Uint8, []int64{2, 1, 1, 1}, 51, 255),
			ints(t, "y", onnxio.Uint8, []int64{2, 1}, 0, 1)))
	write(t, dir, "noy.npz", npzBytes(t, onnxio.NewTensor("x", []int64{12}, x)))
	write(t, dir, "count.npz", npzBytes(t, onnxio.NewTensor("x", []int64{3, 4}, x), y))
	write(t, dir, "negative.npz",
		npzBytes(t, onnxio.NewTensor("x", []int64{2, 6}, x), ints(t, "y", onnxio.Int64, []int64{2}, 0, -1)))
	write(t, dir, "vectors.npz", npzBytes(t, onnxio.NewTensor("x", []int64{2, 6}, x), y))
	write(t, dir, "onehot.npz",
		npzBytes(t, onnxio.NewTensor("x", []int64{2, 6}, x), ints(t, "y", onnxio.Int64, []int64{2, 2}, 0, 1, 1, 0)))
	write(t, dir, "floaty.npz",
		npzBytes(t, onnxio.NewTensor("x", []int64{2, 6}, x), onnxio.NewTensor("y", []int64{2}, []float32{0, 1})))
	x[7] = float32(math.NaN())
	write(t, dir, "nan.npz", npzBytes(t, onnxio.NewTensor("x", []int64{2, 6}, x), y))
	return dir
}

func TestOpen(t *testing.T) {
	t.Chdir(folder(t))
	for _, c := range []struct {
		spec   string
		x      []float32
		shape  []int
		labels []int
		mean   []float64
	}{
		{"idx:images,labels", []float32{0, 1, 0.2, 0.4, 0.6, 0.8}, []int{1, 1, 2}, []int{0, 2, 1}, nil},
		{"idx:images.gz,labels.gz?normalize=none", []float32{0, 1, 0.2, 0.4, 0.6, 0.8}, []int{1, 1, 2}, []int{0, 2, 1}, nil},
		{"idx:images,labels?limit=2&layout=nhwc", []float32{0, 1, 0.2, 0.4}, []int{1, 2, 1}, []int{0, 2}, nil},
		{"idx:images,labels?limit=1000", []float32{0, 1, 0.2, 0.4, 0.6, 0.8}, []int{1, 1, 2}, []int{0, 2, 1}, nil},
		{"idx:images,two?limit=2", []float32{0, 1, 0.2, 0.4}, []int{1, 1, 2}, []int{0, 1}, nil},
		{
			"idx:images,labels?normalize=0.5/0.1",
			[]float32{-5, 5, -3, -1, 1, 3},
			[]int{1, 1, 2},
			[]int{0, 2, 1},
			[]float64{0.5},
		},
		{"npz:good.npz", []float32{1, 2, 3, 10, 20, 30, 5, 6, 7, 50, 60, 70}, []int{2, 1, 3}, []int{1, 0}, nil},
		{
			"npz:good.npz?limit=1&normalize=1,10/2,20",
			[]float32{0, 0.5, 1, 0, 0.5, 1},
			[]int{2, 1, 3},
			[]int{1},
			[]float64{1, 10},
		},
		{
			"npz:good.npz?limit=1&normalize=1,2,3/1&layout=nhwc",
			[]float32{0, 0, 0, 9, 18, 27},
			[]int{2, 1, 3},
			[]int{1},
			[]float64{1, 2, 3},
		},
		{"npz:bytes.npz", []float32{0.2, 1}, []int{1, 1, 1}, []int{0, 1}, nil},
		{"npz:bytes.npz?normalize=auto", []float32{-1, 1}, []int{1, 1, 1}, []int{0, 1}, []float64{0.6}},
	} {
		s, err := data.Open(t.Context(), c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		// Two roundings, of a difference and of a quotient, of numbers below 70.
		near := func(a, b float32) bool { return math.Abs(float64(a-b)) <= 70*1.2e-7 }
		if !slices.EqualFunc(s.X, c.x, near) || !slices.Equal(s.Shape, c.shape) || !slices.Equal(s.Labels, c.labels) ||
			s.Classes != slices.Max(c.labels)+1 {
			t.Errorf("%s: got %+v", c.spec, s)
		}
		if !slices.EqualFunc(s.Mean, c.mean, func(a, b float64) bool { return math.Abs(a-b) < 1e-7 }) {
			t.Errorf("%s: mean %v, want %v", c.spec, s.Mean, c.mean)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Chdir(folder(t))
	for _, c := range []struct{ spec, want string }{
		{"images,labels", "no kind; want idx:IMAGES,LABELS, npz:FILE, cifar10:DIR, cifar100:DIR, folder:DIR or parquet:FILE-OR-DIR"},
		{"mnist:dir", `kind "mnist" is not known; idx, npz, cifar10, cifar100, folder and parquet are`},
		{"npz:", `nothing is named after "npz:"`},
		{"idx:images", "want two files"},
		{"idx:images,labels,labels", "want two files"},
		{"idx:missing,labels", "missing: no such file"},
		{"idx:short,labels", "short: ends at offset 20; its header promises 22 bytes"},
		{"idx:short.gz,labels", "short.gz: ends at offset"},
		{"idx:long,labels", "long: goes on past offset 22"},
		{"idx:huge,labels", "huge: offset 4: shape"},
		{"idx:wide,labels", "wide: ends at offset 19; its header promises 8589934604 bytes"},
		{"idx:floats,labels", "floats: offset 2: IDX elements of type 0x0d; want unsigned bytes"},
		{"idx:labels,labels", "labels: offset 3: IDX data of rank 1; want 3"},
		{"idx:text,labels", "text: starts with 6e 6f 74 20; an IDX file starts with 00 00"},
		{"idx:empty,labels", "empty: ends at offset 0, inside the IDX header"},
		{"idx:images,two", "images has 3 images, two has 2 labels"},
		{"idx:noimages,none", "no samples"},
		{"idx:flat,labels?normalize=auto", "channel 0 is constant"},
		{"npz:missing.npz", "missing.npz: no such file"},
		{"npz:text", "text: not a .npz file"},
		{"npz:noy.npz", "noy.npz: holds [x]; want the arrays x and y"},
		{"npz:count.npz", "x has 3 samples, y 2"},
		{"npz:negative.npz", "sample 1 has the label -1"},
		{"npz:onehot.npz", "y is int64 [2 2]; want integers of shape [N]"},
		{"npz:floaty.npz", "y is float32 [2]; want integers"},
		{"npz:nan.npz", "sample 1 holds NaN at element 1"},
		{"npz:good.npz?normalize=1,2,3/1", "normalize: 3 values for 2 channels; want 1 or 2"},
		{"npz:good.npz?normalize=1/0", "standard deviation 0; want one above 0"},
		{"npz:good.npz?normalize=1/NaN", `"NaN" is no number`},
		{"npz:good.npz?normalize=1", "want MEAN/STD, imagenet, auto or none"},
		{"npz:good.npz?limit=0", "limit=0: want a number from 1"},
		{"npz:good.npz?limit=1&limit=2", `option "limit" is given twice`},
		{"npz:good.npz?layout=chw", "layout=chw: want nchw or nhwc"},
		{"npz:good.npz?size=32x32", `option "size" is not known; normalize, layout, limit, shift, shift-seed, resize, crop, flip and memory are`},
		{"npz:good.npz?split=test", `option "split" is not known`},
		{"npz:good.npz?resize=32y", "resize=32y: want HEIGHTxWIDTH"},
		{"npz:good.npz?resize=0x4", "resize=0x4: want HEIGHTxWIDTH"},
		{"npz:good.npz?resize=4x4x4", "resize=4x4x4: want HEIGHTxWIDTH"},
		{"npz:good.npz?resize=99999x4", "resize=99999x4: want HEIGHTxWIDTH"},
		{"npz:good.npz?shift=-1", "shift=-1: want a number from 0"},
		{"npz:good.npz?shift=1", "shift=1: would move images of 1×3 pixels out of sight"},
		{"npz:good.npz?shift-seed=1", "nothing is shifted without shift=N"},
		{"npz:good.npz?shift=1&shift-seed=x", "shift-seed=x: want a number from 0"},
		{"npz:vectors.npz?resize=2x2", "samples of shape [6] are no images of three axes"},
	} {
		_, err := data.Open(t.Context(), c.spec)
		if err == nil {
			t.Errorf("%s: accepted, want %q", c.spec, c.want)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
}

func TestOpenTest(t *testing.T) {
	t.Chdir(folder(t))
	train, err := data.Open(t.Context(), "npz:bytes.npz?normalize=auto") // mean 0.6, deviation 0.4
	if err != nil {
		t.Fatal(err)
	}
	test, err := data.OpenTest(t.Context(), "idx:images,labels?normalize=auto&limit=2", train)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{-1.5, 1, -1, -0.5}; !slices.EqualFunc(test.X, want,
		func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-6 }) {
		t.Errorf("got %v, want %v", test.X, want)
	}
	plain, err := data.Open(t.Context(), "npz:bytes.npz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := data.OpenTest(t.Context(), "idx:images,labels?normalize=auto", plain); err == nil ||
		!strings.Contains(err.Error(), "training set, which was not normalised") {
		t.Error(err)
	}
}

func TestBatch(t *testing.T) {
	s := &data.Set{X: []float32{0, 1, 2, 3, 4, 5}, Shape: []int{2}, Labels: []int{0, 0, 0}}
	got := make([]float32, 4)
	if err := s.Batch([]int{2, 0}, got); err != nil {
		t.Fatal(err)
	}
	if want := []float32{4, 5, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestFashionMNIST opens the images that the repository comes with.
func TestFashionMNIST(t *testing.T) {
	t.Chdir("../../testdata/fashion-mnist")
	s, err := data.Open(t.Context(), "idx:test-images-2k-idx3-ubyte.gz,test-labels-2k-idx1-ubyte.gz?normalize=0.2860/0.3530")
	if err != nil {
		t.Fatal(err)
	}
	if s.N() != 2000 || !slices.Equal(s.Shape, []int{1, 28, 28}) || s.Classes != 10 {
		t.Errorf("got %d samples of %v in %d classes", s.N(), s.Shape, s.Classes)
	}
	// What numpy made of the same images for the models of testdata.
	all, err := arrays.ReadNPZ("../models/plain-torchscript/inputs.npz")
	if err != nil {
		t.Fatal(err)
	}
	want, err := onnxio.Floats[float32](all[0])
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.X[:len(want)], want) {
		t.Error("the first images are not those of inputs.npz, bit for bit")
	}
}
