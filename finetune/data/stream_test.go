package data

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"efcn/internal/arrays"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// TestStreamBound: however many samples are taken, no more of them are in the making
// than there are threads, and the set holds no pixels.
func TestStreamBound(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 300 {
		save(t, filepath.Join("set", fmt.Sprint(i%3), fmt.Sprintf("%03d.png", i)), colourful(12, 10, i))
	}
	const bound = 1 << 16 // of 300 × 360 floats, 432,000 bytes
	s, err := Open(t.Context(), fmt.Sprintf("folder:set?memory=%d&normalize=auto", bound))
	if err != nil {
		t.Fatal(err)
	}
	if all := 4 * s.N() * s.Size(); all <= bound || !s.Streamed() || s.X != nil {
		t.Fatalf("%d bytes, streamed: %v", all, s.Streamed())
	}
	want, err := Open(t.Context(), "folder:set?normalize=auto")
	if err != nil {
		t.Fatal(err)
	}
	decoding := &gauge{stored: s.stored}
	s.stored = decoding
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

// TestOpenCancelled: where all images are read to open a set, cancelling ends that.
func TestOpenCancelled(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 3 {
		save(t, fmt.Sprintf("set/a/%d.png", i), colourful(4, 5, i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, options := range []string{"", "?skip-bad", "?memory=1&normalize=auto"} {
		if _, err := Open(ctx, "folder:set"+options); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: %v", options, err)
		}
	}
}

// TestHashOfStreamed: a streamed set is known by what it is made from, wherever that
// lies.
func TestHashOfStreamed(t *testing.T) {
	t.Chdir(t.TempDir())
	hashes := map[string]string{}
	for _, dir := range []string{"here", "there/again", "other"} {
		save(t, dir+"/a/0.png", colourful(4, 5, 0))
		save(t, dir+"/b/1.png", colourful(4, 5, 1))
	}
	longer, err := os.ReadFile("other/b/1.png")
	if err != nil {
		t.Fatal(err)
	}
	saveBytes(t, "other/b/1.png", append(longer, 0))
	for _, dir := range []string{"here", "there/again", "other"} {
		s, err := Open(t.Context(), "folder:"+dir+"?memory=1")
		if err != nil {
			t.Fatal(err)
		}
		hashes[dir] = s.Hash()
	}
	if hashes["here"] != hashes["there/again"] || hashes["here"] == hashes["other"] {
		t.Errorf("%v", hashes)
	}
}

// TestRecordsStreamed: samples that are read where they lie in their files are those
// that are read into memory, whatever is made of them.
func TestRecordsStreamed(t *testing.T) {
	cifar := filepath.Join(testdata, "cifar")
	t.Chdir(t.TempDir())
	pixels := []byte{0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3}
	for i := range 5 * 12 {
		pixels = append(pixels, byte(41*i))
	}
	saveBytes(t, "images", pixels)
	saveBytes(t, "labels", []byte{0, 0, 8, 1, 0, 0, 0, 5, 3, 0, 2, 1, 0})
	for b := range 5 {
		var file []byte
		for i := range 2 {
			file = append(file, byte(b+i))
			for k := range cifarImage {
				file = append(file, byte(k*k+7*b+i))
			}
		}
		saveBytes(t, fmt.Sprintf("data_batch_%d.bin", b+1), file)
	}
	npz := func(name string, x *onnxio.Tensor) {
		var b bytes.Buffer
		y := onnxio.NewTensor("y", []int64{x.Dims[0]}, make([]int64, x.Dims[0]))
		if err := arrays.WriteNPZ(&b, []*onnxio.Tensor{y, x}); err != nil {
			t.Fatal(err)
		}
		saveBytes(t, name, b.Bytes())
	}
	floats := make([]float32, 3*2*5*4)
	for i := range floats {
		floats[i] = float32(i*i%19) - 0.3
	}
	npz("floats.npz", onnxio.NewTensor("x", []int64{3, 2, 5, 4}, floats))
	count := 0
	for _, source := range []string{
		"idx:images,labels?", "npz:floats.npz?", "cifar10:.?", "cifar10:" + cifar + "?", "cifar100:" + cifar + "?labels=coarse&",
		"cifar10:" + cifar + "/protocol-5?split=test&", "cifar10:" + cifar + "/protocol-4?split=test&",
	} {
		for _, query := range []string{
			"normalize=none", "normalize=auto", "layout=nhwc&normalize=auto", "limit=1", "shift=1&shift-seed=3", "resize=5x2&limit=2",
			"crop=centre:2&normalize=0.5/0.25", "shift=1&resize=3&crop=centre:3x2&layout=nhwc",
		} {
			want, err := Open(t.Context(), source+query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Open(t.Context(), source+query+"&memory=7")
			if err != nil {
				t.Fatal(err)
			}
			if want.Streamed() || !got.Streamed() || !slices.Equal(got.Labels, want.Labels) || got.Classes != want.Classes ||
				!slices.Equal(got.Shape, want.Shape) || got.ChannelsLast != want.ChannelsLast || !slices.Equal(got.Mean, want.Mean) {
				t.Errorf("%s%s: %+v, want %+v", source, query, got, want)
			}
			if !slices.Equal(samplesOf(t, got, 1, 1), samplesOf(t, want, 1, 1)) {
				t.Errorf("%s%s: the samples are not those in memory", source, query)
			}
			count++
		}
	}
	if count != 56 {
		t.Errorf("%d cases", count)
	}
	for spec, why := range map[string]string{
		"cifar10:" + cifar + "/protocol-2?split=test&memory=7": "pickled so that its images cannot be read in place",
		"idx:gzipped,labels?memory=7":                          "gzipped: more than memory=7 holds, and it is compressed; write it anew",
		"npz:doubles.npz?memory=7":                             "doubles.npz: more than memory=7 holds, and its elements are float64, neither float32 nor",
		"npz:nan.npz?memory=7":                                 "sample 1 holds NaN at element 1; want finite values",
		"idx:images,labels?memory=x":                           "memory=x: want bytes, such as 500MB or 8GB",
		"idx:images,labels?memory=99999999999999TB":            "memory=99999999999999TB: want bytes",
		"idx:cut,labels?memory=7":                              "cut: ends at offset 75; its header promises 76 bytes",
		"idx:images,images?memory=7":                           "images: offset 3: IDX data of rank 3; want 1",
	} {
		saveBytes(t, "cut", pixels[:len(pixels)-1])
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(pixels); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		saveBytes(t, "gzipped", b.Bytes())
		npz("doubles.npz", onnxio.NewTensor("x", []int64{2, 3}, make([]float64, 6)))
		npz("nan.npz", onnxio.NewTensor("x", []int64{2, 3}, []float32{1, 2, 3, 4, float32(math.NaN()), 6}))
		if _, err := Open(t.Context(), spec); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", spec, err, why)
		}
	}
	if _, err := OpenTest(t.Context(), "idx:gzipped,labels", nil); err != nil {
		t.Error(err)
	}
}

// TestMemoryGiven: what memory says holds for samples once they are resized as well, and
// also where it says what is the default.
func TestMemoryGiven(t *testing.T) {
	t.Chdir(t.TempDir())
	pixels := []byte{0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3}
	for i := range 5 * 12 {
		pixels = append(pixels, byte(41*i))
	}
	saveBytes(t, "images", pixels)
	saveBytes(t, "labels", []byte{0, 0, 8, 1, 0, 0, 0, 5, 3, 0, 2, 1, 0})
	for query, streamed := range map[string]bool{
		"memory=240":                                false, // 5 × 12 floats
		"memory=240&resize=2x2":                     false,
		"memory=240&resize=9x8":                     true,
		"memory=1440&resize=9x8":                    false,
		"memory=1439&resize=9x8":                    true,
		"memory=1439&resize=9x8&limit=4":            false,
		"memory=240&resize=9x8&normalize=auto":      true,
		"memory=240&resize=9x8&shift=1&crop=centre": true,
	} {
		query = strings.Replace(query, "crop=centre", "crop=centre:8x8", 1)
		got, err := Open(t.Context(), "idx:images,labels?"+query)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(query, "&")
		want, err := Open(t.Context(), "idx:images,labels?"+cmp.Or(rest, "normalize=none"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Streamed() != streamed || want.Streamed() {
			t.Errorf("%s: streamed: %v", query, got.Streamed())
		}
		if !slices.Equal(samplesOf(t, got, 1, 1), samplesOf(t, want, 1, 1)) {
			t.Errorf("%s: the samples are not those in memory", query)
		}
	}

	// A header of 100,000 images of 200×200 pixels: 16 GB of floats.
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte{0, 0, 8, 3, 0, 1, 0x86, 0xa0, 0, 0, 0, 200, 0, 0, 0, 200}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	saveBytes(t, "many", b.Bytes())
	for query, want := range map[string]string{
		"":                   "many: ends at offset 16; its header promises 4000000016 bytes",
		"?memory=4294967296": "many: more than memory=4294967296 holds, and it is compressed",
	} {
		if _, err := Open(t.Context(), "idx:many,labels"+query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

// gauge counts how many samples of a set are being read at the moment, and the most
// that were.
type gauge struct {
	stored
	now, most atomic.Int64
}

func (g *gauge) read(index int) (frame, []float32, error) {
	now := g.now.Add(1)
	defer g.now.Add(-1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	return g.stored.read(index)
}
