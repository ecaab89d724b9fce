package data

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// parquetImage and parquetRow are what Hugging Face's datasets writes.
type parquetImage struct {
	Bytes []byte  `parquet:"bytes,optional"`
	Path  *string `parquet:"path,optional"`
}

type parquetRow struct {
	Image *parquetImage `parquet:"image,optional"`
	Label *int64        `parquet:"label,optional"`
}

func writeParquet[T any](t *testing.T, path string, rows []T, options ...parquet.WriterOption) {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, append(options, parquet.MaxRowsPerRowGroup(3))...)
	for i := range rows { // one by one, so that a page may end behind each
		if _, err := w.Write(rows[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	saveBytes(t, path, b.Bytes())
}

// pictures returns rows of n images of 4×5 pixels, of which image i is moved by
// first + i and has the label 3 i mod 4.
func pictures(t *testing.T, first, n int) []parquetRow {
	t.Helper()
	rows := make([]parquetRow, n)
	for i := range rows {
		var b bytes.Buffer
		if err := png.Encode(&b, colourful(4, 5, first+i)); err != nil {
			t.Fatal(err)
		}
		label := int64(3 * i % 4)
		rows[i] = parquetRow{&parquetImage{Bytes: b.Bytes()}, &label}
	}
	return rows
}

const sixClasses = `{"info": {"features": {"image": {"_type": "Image"},
	"label": {"names": ["a", "b", "c", "d", "e", "f"], "_type": "ClassLabel"}}}}`

func TestParquet(t *testing.T) {
	t.Chdir(t.TempDir())
	about := parquet.KeyValueMetadata("huggingface", sixClasses)
	small := parquet.PageBufferSize(256) // several pages in a group
	writeParquet(t, "set/train-00000-of-00002.parquet", pictures(t, 0, 7), about, small)
	writeParquet(t, "set/train-00001-of-00002.parquet", pictures(t, 7, 4), parquet.Compression(&parquet.Snappy))
	writeParquet(t, "set/test-00000-of-00001.parquet", pictures(t, 30, 2), parquet.Compression(&parquet.Zstd))
	saveBytes(t, "set/README.md", []byte("not read"))
	writeParquet(t, "valid/validation-0.parquet", pictures(t, 40, 1))

	train := []int{0, 3, 2, 1, 0, 3, 2, 0, 3, 2, 1}
	for _, c := range []struct {
		spec    string
		test    bool
		labels  []int
		classes int
		first   int
	}{
		{"parquet:set", false, train, 6, 0},
		{"parquet:set?limit=8", false, train[:8], 6, 0},
		{"parquet:set?image=image&label=label&split=train", true, train, 6, 0},
		{"parquet:set", true, []int{0, 3}, 4, 30},
		{"parquet:valid", true, []int{0}, 1, 40},
		{"parquet:set/train-00001-of-00002.parquet", true, train[7:], 4, 7},
	} {
		s, err := open(t.Context(), c.spec, nil, c.test)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		if !slices.Equal(s.Labels, c.labels) || s.Classes != c.classes || !slices.Equal(s.Shape, []int{3, 4, 5}) {
			t.Errorf("%s: labels %v of %d, shape %v", c.spec, s.Labels, s.Classes, s.Shape)
		}
		for i := range s.N() {
			for k, v := range s.X[i*60 : (i+1)*60] {
				at := k%20*3 + k/20 // of the pixels' bytes
				if want := float32(uint8(37*at+at*at/5+c.first+i)) / 255; v != want {
					t.Fatalf("%s: element %d of image %d is %v, want %v", c.spec, k, i, v, want)
				}
			}
		}
	}

	// Images are read when they are taken, in any order.
	s, err := Open(t.Context(), "parquet:set?crop=random:4x5")
	if err != nil {
		t.Fatal(err)
	}
	folder := "folder"
	for i, row := range slices.Concat(pictures(t, 0, 7), pictures(t, 7, 4)) {
		saveBytes(t, filepath.Join(folder, "a", string(rune('a'+i))+".png"), row.Image.Bytes)
	}
	want, err := Open(t.Context(), "folder:folder?crop=random:4x5")
	if err != nil {
		t.Fatal(err)
	}
	order := []int{10, 3, 0, 7, 6}
	x, y := make([]float32, 5*60), make([]float32, 5*60)
	if err := errors.Join(s.Batch(order, x), want.Batch(order, y)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x, y) || !slices.Equal(samplesOf(t, s, 1, 2), samplesOf(t, want, 1, 2)) {
		t.Error("the samples of a Parquet file are not those of a folder with the same images")
	}
}

func TestParquetRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	rows := pictures(t, 0, 2)
	good := rows[0]
	writeParquet(t, "good.parquet", rows)
	content, err := os.ReadFile("good.parquet")
	if err != nil {
		t.Fatal(err)
	}
	saveBytes(t, "short.parquet", content[:len(content)/2])
	saveBytes(t, "text.parquet", []byte("text"))
	huge := bytes.Clone(content)
	copy(huge[len(huge)-8:], "\xff\xff\xff\xff")
	saveBytes(t, "huge.parquet", huge)
	elsewhere := "elsewhere.png"
	writeParquet(t, "path.parquet", []parquetRow{good, {&parquetImage{Path: &elsewhere}, good.Label}})
	writeParquet(t, "null.parquet", []parquetRow{good, {nil, good.Label}})
	writeParquet(t, "nolabel.parquet", []parquetRow{good, {good.Image, nil}})
	unknown := int64(-1)
	writeParquet(t, "unlabelled.parquet", []parquetRow{{good.Image, &unknown}})
	writeParquet(t, "broken.parquet", []parquetRow{good, {&parquetImage{Bytes: []byte("text")}, good.Label}})
	writeParquet(t, "other.parquet", []struct {
		Text  string `parquet:"text"`
		Label int32  `parquet:"label"`
	}{{"a", 1}})
	type two struct {
		Image  parquetImage `parquet:"img"`
		Fine   int64        `parquet:"fine_label"`
		Coarse int32        `parquet:"coarse_label"`
	}
	writeParquet(t, "two.parquet", []two{{*good.Image, 7, 2}})
	for _, c := range []struct{ spec, want string }{
		{"parquet:missing", "missing: no such file"},
		{"parquet:.", ".: holds no train*.parquet; name a file"},
		{"parquet:short.parquet", "short.parquet: not a Parquet file, or broken: "},
		{"parquet:text.parquet", "text.parquet: not a Parquet file, or broken: 4 bytes, too few for a footer"},
		{"parquet:huge.parquet", "huge.parquet: not a Parquet file, or broken: a footer of 4294967295 bytes, in a file of"},
		{"parquet:good.parquet?split=train", "split: good.parquet is one file; want a folder"},
		{"parquet:path.parquet", "path.parquet: row 1: the image has no bytes"},
		{"parquet:null.parquet", "null.parquet: row 1: the image has no bytes"},
		{"parquet:nolabel.parquet", "nolabel.parquet: column label: row 1 has no label"},
		{"parquet:unlabelled.parquet", "sample 0 has the label -1"},
		{"parquet:broken.parquet", "broken.parquet: row 1: starts with 74 65 78 74; a PNG file"},
		{"parquet:other.parquet", "other.parquet: holds no columns of images"},
		{
			"parquet:two.parquet",
			"two.parquet: has the columns of integers fine_label, coarse_label; want label=NAME of one of them",
		},
		{"parquet:good.parquet?image=img", "has the columns of images (structs with bytes) image; want image=NAME"},
	} {
		if _, err := Open(t.Context(), c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.spec, err, c.want)
		}
	}
	if s, err := Open(t.Context(), "parquet:two.parquet?label=coarse_label"); err != nil || s.Labels[0] != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	s, err := Open(t.Context(), "parquet:broken.parquet?skip-bad")
	if err != nil || s.N() != 1 || len(s.Skipped) != 1 || s.Skipped[0].Image != "broken.parquet: row 1" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, name := range []string{"path", "null"} { // rows without bytes
		s, err := Open(t.Context(), "parquet:"+name+".parquet?skip-bad")
		if err != nil || s.N() != 1 || len(s.Skipped) != 1 || s.Skipped[0].Image != name+".parquet: row 1" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// TestParquetRows: a few bytes can state any number of labels, which are not read.
func TestParquetRows(t *testing.T) {
	t.Chdir(t.TempDir())
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.Compression(&parquet.Zstd))
	label := int64(1)
	if _, err := w.Write(slices.Repeat([]parquetRow{{nil, &label}}, 1<<16)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	saveBytes(t, "many.parquet", b.Bytes())
	want := fmt.Sprintf("many.parquet: 65536 rows after 0, in a file of %d bytes", b.Len())
	if _, err := Open(t.Context(), "parquet:many.parquet"); err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	_, label64, err := parquetColumns(f.Schema(), options{})
	if err != nil {
		t.Fatal(err)
	}
	labels := f.RowGroups()[0].ColumnChunks()[label64.ColumnIndex]
	if _, err := appendLabels(nil, labels, 1<<16-1); err == nil || err.Error() != "more labels than the 65535 of its rows" {
		t.Error(err)
	}
	if all, err := appendLabels(nil, labels, 1<<16); err != nil || len(all) != 1<<16 {
		t.Error(len(all), err)
	}
}

// TestParquetPageIndex: an index of the pages that can't be is refused, and one that lies
// about its length asks for no memory.
func TestParquetPageIndex(t *testing.T) {
	t.Chdir(t.TempDir())
	writeParquet(t, "set.parquet", pictures(t, 0, 3), parquet.PageBufferSize(1))
	content, err := os.ReadFile("set.parquet")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	image, _, err := parquetColumns(f.Schema(), options{})
	if err != nil {
		t.Fatal(err)
	}
	at := f.Metadata().RowGroups[0].Columns[image.ColumnIndex]
	if at.OffsetIndexLength < 3*5 {
		t.Fatalf("an index of %d bytes; want pages of an image each", at.OffsetIndexLength)
	}
	// A list of structs: offset, size and first row, in zigzag encoding.
	page := func(offset, size, row byte) string {
		return string([]byte{0x16, 2 * offset, 0x15, 2 * size, 0x16, 2 * row, 0})
	}
	// What the library does not know fills the place of the index.
	fill := func(index string) string {
		room := int(at.OffsetIndexLength) - len(index) - 3
		return index + "\xf8" + string(rune(room)) + strings.Repeat("x", room) + "\x00"
	}
	for _, c := range []struct{ index, want string }{
		{"\x19\xfc\xff\xff\xff\xff\x07", "page index: offset"},
		{"\x19\x2c" + page(4, 60, 0) + page(60, 4, 1), "page 1 does not come after the one before"},
		{"\x19\x2c" + page(4, 8, 1) + page(20, 8, 1), "page 1 does not come after the one before"},
		{"\x19\x1c" + page(4, 8, 1), "its pages do not hold rows 0 to 2"},
		{"\x19\x2c" + page(4, 8, 0) + page(20, 8, 3), "its pages do not hold rows 0 to 2"},
	} {
		broken := bytes.Clone(content)
		copy(broken[at.OffsetIndexOffset:][:at.OffsetIndexLength], fill(c.index))
		saveBytes(t, "broken.parquet", broken)
		if _, err := Open(t.Context(), "parquet:broken.parquet"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("% x: %v, want %q", c.index, err, c.want)
		}
	}
}

// FuzzParquet holds that a broken file is refused, or read, and never ends the program.
func FuzzParquet(f *testing.F) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b)
	label := int64(1)
	if _, err := w.Write([]parquetRow{{&parquetImage{Bytes: []byte("\x89PNG")}, &label}}); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		path := fuzzFile(t, "set.parquet", content)
		all := &parquetImages{}
		defer all.close()
		labels, _, err := all.add(path, options{})
		if err != nil {
			return
		}
		for i := range labels {
			_, _ = all.content(i)
		}
	})
}
