package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// openParquet opens images as Hugging Face stores them (huggingface.co/docs/hub,
// "Image Dataset"): a column of structs with the bytes of a PNG or JPEG file, and one
// of integers, the classes. path is a Parquet file, or a folder of files whose names
// begin with that of their split.
func openParquet(ctx context.Context, path string, o options) (s *Set, err error) {
	files, err := parquetFiles(path, o)
	if err != nil {
		return nil, err
	}
	s = &Set{}
	all := &parquetImages{}
	defer func() {
		if err != nil || !s.Streamed() {
			all.close()
		}
	}()
	for _, file := range files {
		labels, classes, err := all.add(file, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		s.Labels = append(s.Labels, labels...)
		s.Classes = max(s.Classes, classes)
	}
	return s, s.open(ctx, all, o)
}

// parquetFiles lists the files of a split in a folder, or the one that path is.
func parquetFiles(path string, o options) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if o.given["split"] {
			return nil, fmt.Errorf("split: %s is one file; want a folder", path)
		}
		return []string{path}, nil
	}
	splits := []string{"train"}
	if o.test {
		splits = []string{"test", "validation"}
	}
	list, err := entries(path)
	if err != nil {
		return nil, err
	}
	for _, split := range splits {
		var files []string
		for _, e := range list {
			if strings.HasPrefix(e.Name(), split) && strings.HasSuffix(e.Name(), ".parquet") {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
		if len(files) > 0 {
			return files, nil
		}
	}
	return nil, fmt.Errorf("%s: holds no %s*.parquet; name a file", path, strings.Join(splits, "*.parquet and no "))
}

// parquetImages are the images of Parquet files, one after another.
type parquetImages struct {
	files  []*os.File // open: images are read when they are taken
	groups []parquetGroup
}

func (p *parquetImages) close() {
	for _, file := range p.files {
		_ = file.Close() // it was only read
	}
}

// parquetGroup is a row group of a file.
type parquetGroup struct {
	file  string
	bytes int64 // of the file
	row   int   // its first, in the file
	first int   // its first, among all images
	rows  int
	chunk parquet.ColumnChunk // of the images
}

// add appends the images of a file, and returns their classes and how many of these
// the file's metadata name: 0 if they name none.
func (p *parquetImages) add(path string, o options) (labels []int, classes int, err error) {
	defer soundParquet(&err)
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, reason(err)
	}
	p.files = append(p.files, file)
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	if err := checkFooter(file, info.Size()); err != nil {
		return nil, 0, fmt.Errorf("not a Parquet file, or broken: %w", err)
	}
	f, err := parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, 0, fmt.Errorf("not a Parquet file, or broken: %w", err)
	}
	image, label, err := parquetColumns(f.Schema(), o)
	if err != nil {
		return nil, 0, err
	}
	first := 0
	if n := len(p.groups); n > 0 {
		first = p.groups[n-1].first + p.groups[n-1].rows
	}
	for i, group := range f.RowGroups() {
		chunks := group.ColumnChunks()
		at := &f.Metadata().RowGroups[i].Columns[image.ColumnIndex]
		if err := indexPages(file, info.Size(), chunks[image.ColumnIndex], at, group.NumRows()); err != nil {
			return nil, 0, err
		}
		before := len(labels)
		// A few bytes may state any number of equal labels. Images take a byte each at least.
		rows := group.NumRows()
		if rows < 0 || rows > info.Size()-int64(before) {
			return nil, 0, fmt.Errorf("%d rows after %d, in a file of %d bytes", rows, before, info.Size())
		}
		if labels, err = appendLabels(labels, chunks[label.ColumnIndex], before+int(rows)); err != nil {
			return nil, 0, fmt.Errorf("column %s: %w", label.Path[0], err)
		}
		p.groups = append(p.groups, parquetGroup{
			file: path, bytes: info.Size(), row: before, first: first + before, rows: len(labels) - before,
			chunk: chunks[image.ColumnIndex],
		})
	}
	return labels, classNames(f, label.Path[0]), nil
}

// indexPages reads where the pages of a column are, if the file has that, so that an
// image is found without reading the pages before it.
func indexPages(
	file io.ReaderAt, size int64, chunk parquet.ColumnChunk, at *format.ColumnChunk, rows int64,
) error {
	if at.OffsetIndexOffset == 0 {
		return nil
	}
	if err := checkPageIndex(file, size, at.OffsetIndexOffset, int64(at.OffsetIndexLength)); err != nil {
		return err
	}
	pages, err := chunk.OffsetIndex()
	if err != nil {
		return fmt.Errorf("page index: %w", err)
	}
	end, row := int64(0), int64(-1) // of the page before
	for i := range pages.NumPages() {
		start, bytes := pages.Offset(i), pages.CompressedPageSize(i)
		if start < end || bytes < 0 || start > size-bytes || pages.FirstRowIndex(i) <= row {
			return fmt.Errorf("page index: page %d does not come after the one before, inside the file", i)
		}
		end, row = start+bytes, pages.FirstRowIndex(i)
	}
	if n := pages.NumPages(); n > 0 && (pages.FirstRowIndex(0) != 0 || row >= rows) {
		return fmt.Errorf("page index: its pages do not hold rows 0 to %d", rows-1)
	}
	return nil
}

// soundParquet makes an error of a panic of the library, which trusts what a broken
// file says about its own lengths.
func soundParquet(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("not a sound Parquet file: %v", r)
	}
}

// parquetColumns finds the columns of the images and of their classes: those that the
// options name, or the only ones that can be.
func parquetColumns(schema *parquet.Schema, o options) (image, label parquet.LeafColumn, err error) {
	var images, labels []string
	for _, path := range schema.Columns() {
		leaf, ok := schema.Lookup(path...)
		if !ok || leaf.MaxRepetitionLevel > 0 {
			continue
		}
		switch kind := leaf.Node.Type().Kind(); {
		case len(path) == 2 && path[1] == "bytes" && kind == parquet.ByteArray:
			images = append(images, path[0])
		case len(path) == 1 && (kind == parquet.Int64 || kind == parquet.Int32):
			labels = append(labels, path[0])
		}
	}
	name, err := choose("image", o.image, images, "columns of images (structs with bytes)")
	if err != nil {
		return image, label, err
	}
	image, _ = schema.Lookup(name, "bytes")
	if name, err = choose("label", o.label, labels, "columns of integers"); err != nil {
		return image, label, err
	}
	label, _ = schema.Lookup(name)
	return image, label, nil
}

// choose returns the column that is wanted for an option, or, where that is "", the
// one of the option's own name or the only one.
func choose(option, wanted string, columns []string, what string) (string, error) {
	switch {
	case wanted != "" && slices.Contains(columns, wanted):
		return wanted, nil
	case wanted == "" && slices.Contains(columns, option):
		return option, nil
	case wanted == "" && len(columns) == 1:
		return columns[0], nil
	case len(columns) == 0:
		return "", fmt.Errorf("holds no %s", what)
	}
	return "", fmt.Errorf("has the %s %s; want %s=NAME of one of them", what, strings.Join(columns, ", "), option)
}

// appendLabels reads a column of integers, until there are so many labels.
func appendLabels(labels []int, chunk parquet.ColumnChunk, rows int) ([]int, error) {
	pages := chunk.Pages()
	defer pages.Close()
	values := make([]parquet.Value, 1024)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return labels, nil
		}
		if err != nil {
			return nil, err
		}
		for in := page.Values(); ; {
			n, err := in.ReadValues(values)
			if n > rows-len(labels) {
				return nil, fmt.Errorf("more labels than the %d of its rows", rows)
			}
			for _, v := range values[:n] {
				switch {
				case v.IsNull():
					return nil, fmt.Errorf("row %d has no label", len(labels))
				case v.Kind() == parquet.Int32:
					labels = append(labels, int(v.Int32()))
				default:
					labels = append(labels, int(v.Int64()))
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
		}
		parquet.Release(page)
	}
}

// classNames returns how many classes a file says its column of labels has.
func classNames(f *parquet.File, column string) int {
	text, _ := f.Lookup("huggingface")
	var about struct {
		Info struct {
			Features map[string]struct {
				Names []string `json:"names"`
			} `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &about) != nil {
		return 0 // it is a note of others, and labels tell how many there are at least
	}
	return len(about.Info.Features[column].Names)
}

// group returns the row group of an image, and its row in there.
func (p *parquetImages) group(index int) (g parquetGroup, row int) {
	i := sort.Search(len(p.groups), func(i int) bool { return p.groups[i].first > index }) - 1
	return p.groups[i], index - p.groups[i].first
}

func (p *parquetImages) name(index int) string {
	g, row := p.group(index)
	return fmt.Sprintf("%s: row %d", g.file, g.row+row)
}

func (p *parquetImages) identity(index int) string {
	g, row := p.group(index)
	return fmt.Sprintf("%s %d %d", filepath.Base(g.file), g.bytes, g.row+row)
}

func (p *parquetImages) content(index int) (content []byte, err error) {
	defer func() {
		if bad := new(ImageError); err != nil && !errors.As(err, &bad) {
			err = fmt.Errorf("%s: %w", p.name(index), err)
		}
	}()
	defer soundParquet(&err)
	g, row := p.group(index)
	pages := g.chunk.Pages()
	defer pages.Close()
	if err := pages.SeekToRow(int64(row)); err != nil {
		return nil, err
	}
	page, err := pages.ReadPage()
	if err != nil {
		return nil, err
	}
	defer parquet.Release(page)
	var value [1]parquet.Value
	if n, err := page.Values().ReadValues(value[:]); n < 1 {
		return nil, fmt.Errorf("no value (%w)", err)
	}
	if value[0].IsNull() {
		return nil, &ImageError{p.name(index), errors.New("the image has no bytes; one that is only named by its path " +
			"is not read")}
	}
	return bytes.Clone(value[0].ByteArray()), nil
}
