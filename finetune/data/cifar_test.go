package data_test

import (
	"slices"
	"strings"
	"testing"

	"efcn/finetune/data"
)

// record is one of a CIFAR file: labels, then planes of red, green and blue, of
// which pixel 1, the second of the first row, stands out.
func record(rgb [3]byte, labels ...byte) []byte {
	r := slices.Clone(labels)
	for _, v := range rgb {
		plane := make([]byte, 32*32)
		plane[1] = v
		r = append(r, plane...)
	}
	return r
}

func cifarFolder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for i, name := range []string{
		"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
		"data_batch_5.bin",
	} {
		write(t, ".", name, slices.Concat(record([3]byte{255, 51, 0}, byte(i)), record([3]byte{0, 0, 0}, byte(i+5))))
	}
	write(t, ".", "test_batch.bin", record([3]byte{0, 0, 102}, 3))
	write(t, ".", "train.bin", slices.Concat(record([3]byte{255, 51, 0}, 19, 99), record([3]byte{0, 0, 0}, 4, 5)))
	write(t, ".", "test.bin", record([3]byte{0, 0, 102}, 7, 42))
}

func TestCIFAR(t *testing.T) {
	cifarFolder(t)
	open := func(test bool, spec string) (*data.Set, error) {
		if test {
			return data.OpenTest(t.Context(), spec, nil)
		}
		return data.Open(t.Context(), spec)
	}
	for _, c := range []struct {
		spec    string
		test    bool
		labels  []int
		classes int
		pixel   []float32 // red, green and blue of the first image's second pixel
	}{
		{"cifar10:.", false, []int{0, 5, 1, 6, 2, 7, 3, 8, 4, 9}, 10, []float32{1, 0.2, 0}},
		{"cifar10:.?split=train&limit=3", true, []int{0, 5, 1}, 10, []float32{1, 0.2, 0}},
		{"cifar10:.?split=test", false, []int{3}, 10, []float32{0, 0, 0.4}},
		{"cifar10:.?layout=nhwc", true, []int{3}, 10, []float32{0, 0, 0.4}},
		{"cifar100:.", false, []int{99, 5}, 100, []float32{1, 0.2, 0}},
		{"cifar100:.?labels=coarse", false, []int{19, 4}, 20, []float32{1, 0.2, 0}},
		{"cifar100:.?labels=fine", true, []int{42}, 100, []float32{0, 0, 0.4}},
	} {
		s, err := open(c.test, c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		pixel, shape := []float32{s.X[1], s.X[1025], s.X[2049]}, []int{3, 32, 32}
		if s.ChannelsLast {
			pixel, shape = s.X[3:6], []int{32, 32, 3}
		}
		if !slices.Equal(s.Labels, c.labels) || s.Classes != c.classes || !slices.Equal(pixel, c.pixel) ||
			!slices.Equal(s.Shape, shape) {
			t.Errorf("%s: labels %v of %d, pixel %v, shape %v; want %v of %d, %v, %v", c.spec, s.Labels, s.Classes, pixel,
				s.Shape, c.labels, c.classes, c.pixel, shape)
		}
		var sum float32
		for _, v := range s.X[:3072] {
			sum += v
		}
		if want := c.pixel[0] + c.pixel[1] + c.pixel[2]; sum != want {
			t.Errorf("%s: first image sums to %v, want %v", c.spec, sum, want)
		}
	}
}

func TestCIFARRefuses(t *testing.T) {
	cifarFolder(t)
	write(t, ".", "data_batch_2.bin", slices.Concat(record([3]byte{}, 0), record([3]byte{}, 10)))
	write(t, ".", "test_batch.bin", record([3]byte{}, 0)[:3000])
	write(t, ".", "test.bin", slices.Concat(record([3]byte{}, 0, 0), []byte{1}))
	write(t, ".", "train.bin", nil)
	for _, c := range []struct{ spec, want string }{
		{"cifar10:missing", "data_batch_1.bin: no such file"},
		{"cifar10:.", "data_batch_2.bin: offset 3073: label 10; the classes are 0 to 9"},
		{
			"cifar10:.?split=test",
			"test_batch.bin: ends at offset 3000, inside the CIFAR-10 record that begins at 0 and takes 3073 bytes",
		},
		{"cifar100:.?split=test", "test.bin: ends at offset 3075, inside the CIFAR-100 record that begins at 3074"},
		{"cifar100:.", "no samples"},
		{"cifar10:.?split=both", "split=both: want train or test"},
		{
			"cifar10:.?labels=fine",
			`option "labels" is not known; normalize, layout, limit, shift, shift-seed, resize, crop, flip, memory and split are`,
		},
	} {
		if _, err := data.Open(t.Context(), c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
	if s, err := data.Open(t.Context(), "cifar10:.?limit=2"); err != nil || s.N() != 2 {
		t.Errorf("what lies behind the limit is read: %v", err)
	}
}
