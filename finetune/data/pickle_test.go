package data

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pixel is what make_cifar_pickles.py put into batch b (5 is the test batch).
func pixel(batch, image, i int) float32 { return float32((i+31*image+7*batch)%256) / 255 }

func TestCIFARPickles(t *testing.T) {
	root := filepath.Join("testdata", "cifar")
	moved := t.TempDir() // with the folder that torchvision makes in its root
	const folder = "cifar-10-batches-py"
	if err := os.CopyFS(filepath.Join(moved, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
		t.Fatal(err)
	}
	train := []int{0, 9, 1, 8, 2, 7, 3, 6, 4, 5}
	for _, c := range []struct {
		spec    string
		labels  []int
		batch   int // of the first image
		classes int
	}{
		{"cifar10:" + root + "/cifar-10-batches-py", train, 0, 10},
		{"cifar10:" + root, train, 0, 10},
		{"cifar10:" + moved, train, 0, 10},
		{"cifar10:" + root + "?limit=3", train[:3], 0, 10},
		{"cifar10:" + root + "?split=test", []int{5, 4}, 5, 10},
		{"cifar10:" + root + "?split=test&layout=nhwc", []int{5, 4}, 5, 10},
		{"cifar100:" + root + "/cifar-100-python", []int{99, 0}, 0, 100},
		{"cifar100:" + root + "?split=test&labels=coarse", []int{19, 5}, 5, 20},
		{"cifar10:" + root + "/protocol-2?split=test", []int{5, 4}, 5, 10},
		{"cifar10:" + root + "/protocol-3?split=test", []int{5, 4}, 5, 10},
		{"cifar10:" + root + "/protocol-4?split=test", []int{5, 4}, 5, 10},
		{"cifar10:" + root + "/protocol-5?split=test", []int{5, 4}, 5, 10},
	} {
		s, err := Open(t.Context(), c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		if !slices.Equal(s.Labels, c.labels) || s.Classes != c.classes {
			t.Errorf("%s: labels %v of %d; want %v of %d", c.spec, s.Labels, s.Classes, c.labels, c.classes)
		}
		f, err := s.frame()
		if err != nil || f.channels != 3 || f.height != 32 || f.width != 32 {
			t.Fatalf("%s: shape %v, %v", c.spec, s.Shape, err)
		}
		channel, row, column := f.strides()
		for i := range 2 * cifarImage {
			in := i % cifarImage
			at := i/cifarImage*cifarImage + in/1024*channel + in/32%32*row + in%32*column
			if want := pixel(c.batch, i/cifarImage, in); s.X[at] != want {
				t.Fatalf("%s: element %d is %v, want %v", c.spec, i, s.X[at], want)
			}
		}
	}
}

// TestPickleRefuses has pickles that would run code, ask for memory or are of
// another shape. Each is refused in one line.
func TestPickleRefuses(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "cifar", "cifar-10-batches-py", "test_batch"))
	if err != nil {
		t.Fatal(err)
	}
	swap := func(from, to string) string {
		if !bytes.Contains(good, []byte(from)) {
			t.Fatalf("the batch has no %q", from)
		}
		return string(bytes.Replace(good, []byte(from), []byte(to), 1))
	}
	for name, c := range map[string]struct{ content, want string }{
		"os.system":    {"\x80\x02cos\nsystem\nU\x04true\x85R.", `offset 2: the pickle names "system" of the Python module "os"`},
		"protocol 0":   {"cos\nsystem\n(S'true'\ntR.", `names "system"`},
		"stack global": {"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x041+1\n\x85R.", `names "eval" of the Python module "builtins"`},
		"instance":     {"\x80\x02(U\x01aios\nsystem\n.", `pickle opcode 'i' (0x69): not among those`},
		"object":       {"\x80\x02(cos\nsystem\no.", `names "system"`},
		"new object":   {"\x80\x02cnumpy\nndarray\n)\x81.", `(0x81): not among those`},
		"extension":    {"\x80\x02\x82\x01.", "(0x82): not among those"},
		"persistent":   {"\x80\x02U\x01aQ.", "'Q' (0x51): not among those"},
		"call":         {"\x80\x02cnumpy\nndarray\n)R.", `a call of "numpy ndarray" that the batches of CIFAR do not need`},
		"call text":    {"\x80\x02U\x01a)R.", "not put together as the batches of CIFAR"},
		"huge string":  {"\x80\x02T\xff\xff\xff\x7f.", "promises 2147483647 bytes more and has 1"},
		"huge bytes":   {"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "promises 18446744073709551615 bytes more and has 1"},
		"long integer": {"\x80\x02\x8a\xff.", "an integer of 255 bytes"},
		"opcodes":      {"\x80\x02" + strings.Repeat("N", maxPickleSteps), "more than 4194304 opcodes"},
		"encoded": {
			"\x80\x02c_codecs\nencode\nq\x00(h\x00X\x28\x00\x00\x00" + strings.Repeat("a", 40) +
				"q\x01X\x06\x00\x00\x00latin1q\x02\x86R" + strings.Repeat("h\x00h\x01h\x02\x86R", 40) + ".",
			"encoded more often than once",
		},
		"memo":       {"\x80\x02h\x07.", "nothing was remembered as 7"},
		"protocol 9": {"\x80\x09.", "pickle protocol 9; 2 to 5 are read"},
		"no dict":    {"\x80\x02K\x01.", "the pickle holds no dict"},
		"empty":      {"", "promises 1 bytes more and has 0"},
		"underflow":  {"\x80\x02\x87.", "not put together"},
		"mark":       {"\x80\x02(q\x00.", "not put together"},
		"own self":   {"\x80\x02]q\x00h\x00a.", "the pickle holds no dict"},
		"short":      {string(good[:3000]), "promises 6144 bytes more"},
		"key":        {"\x80\x02}K\x01K\x02s.", "a key that is no short string"},
		"other keys": {"\x80\x02}.", "want the array data and the list labels of CIFAR-10"},
		"floats":     {swap("U\x02u1", "U\x02f4"), `an array of type "f4"; want u1`},
		"shape":      {swap("K\x02M\x00\x0c\x86", "K\x03M\x00\x0c\x86"), "data has shape [3 3072] and 6144 bytes for 2 labels"},
		"wide shape": {swap("K\x02M\x00\x0c\x86", "J\xff\xff\xff\x7fM\x00\x0c\x86"), "data has shape [2147483647 3072]"},
		"label":      {swap("K\x05K\x04e", "K\x05K\x0ae"), "labels: label 10 of image 1; the classes are 0 to 9"},
		"label text": {swap("K\x05K\x04e", "K\x05U\x00e"), "labels: the label of image 1 is no integer"},
		"label tuples": { // each holds the one before twice: 2⁶⁴ values
			swap("K\x05K\x04e", "K\x05N"+strings.Repeat("q\xc8h\xc8\x86", 64)+"e"), "labels: the label of image 1 is no integer",
		},
		"long shape": {swap("K\x02M\x00\x0c\x86", "K\x02M\x00\x0cK\x01\x87"), "not put together"},
	} {
		path := filepath.Join(t.TempDir(), "test_batch")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenTest(t.Context(), "cifar10:"+filepath.Dir(path), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzUnpickle(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "cifar", "*", "test*"))
	if err != nil || len(files) != 6 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		batch, err := unpickle(content)
		if err != nil {
			return
		}
		images, labels, err := newCIFAR10().batch(batch)
		if err == nil && len(images.bytes) != len(labels)*cifarImage {
			t.Fatal(fmt.Sprint(len(images.bytes), labels))
		}
	})
}
