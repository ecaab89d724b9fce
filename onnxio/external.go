package onnxio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"efcn/onnxio/internal/onnxpb"
)

// folder is the place that a model's external data may come from. Files are
// opened through os.Root, so that neither a location nor a symbolic link in it
// leads outside, and may have no second name.
type folder struct {
	path string
	root *os.Root
	seen map[string]fs.FileInfo
}

// DataFiles returns the files, other than the model's own, that hold external data
// of m: paths as they follow from Path, sorted, each once.
func (m *Model) DataFiles() []string {
	var files []string
	m.tensors(func(t *Tensor) {
		if r, ok := t.Data.(region); ok {
			if path := filepath.Join(r.folder, filepath.FromSlash(r.location)); path != filepath.Clean(m.Path) {
				files = append(files, path)
			}
		}
	})
	slices.Sort(files)
	return slices.Compact(files)
}

// region is a part of a file of external data. The file is opened when the
// data is asked for, and must then still be the file that was there when the
// model was read.
type region struct {
	folder, location string
	offset, length   int64
	size             int64
	modified         time.Time
}

func (r region) Len() int64 { return r.length }

func (r region) WriteTo(w io.Writer) (int64, error) { return writeFiled(w, r) }

func (r region) open() (*os.File, int64, error) {
	f, err := os.OpenInRoot(r.folder, filepath.FromSlash(r.location))
	if err != nil {
		return nil, 0, r.wrap(rooted(err))
	}
	if err := unchanged(f, r.size, r.modified); err != nil {
		f.Close()
		return nil, 0, r.wrap(err)
	}
	return f, r.offset, nil
}

func (r region) wrap(err error) error { return fmt.Errorf("external data %q: %w", r.location, err) }

// writeFiled writes content that lies in a file to w.
func writeFiled(w io.Writer, d filed) (int64, error) {
	f, offset, err := d.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.Copy(w, io.NewSectionReader(f, offset, d.Len()))
	if err == nil && n != d.Len() {
		err = d.wrap(fmt.Errorf("got %d of %d bytes", n, d.Len()))
	}
	return n, err
}

// unchanged reports whether f still has the size and time that it had when the
// model was read.
func unchanged(f *os.File, size int64, modified time.Time) error {
	info, err := f.Stat()
	if err != nil {
		return plain(err)
	}
	if info.Size() != size || !info.ModTime().Equal(modified) {
		return errors.New("the file has changed since the model was read")
	}
	return nil
}

// inFile is raw data in the file of the model itself, which is opened and
// checked as that of a region is.
type inFile struct {
	path           string
	offset, length int64
	size           int64
	modified       time.Time
}

func (d inFile) Len() int64 { return d.length }

func (d inFile) WriteTo(w io.Writer) (int64, error) { return writeFiled(w, d) }

func (d inFile) open() (*os.File, int64, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, 0, d.wrap(plain(err))
	}
	if err := unchanged(f, d.size, d.modified); err != nil {
		f.Close()
		return nil, 0, d.wrap(err)
	}
	return f, d.offset, nil
}

func (d inFile) wrap(err error) error { return fmt.Errorf("%s: %w", d.path, err) }

// check reports whether the region is still there, without reading it.
func (r region) check() error {
	f, _, err := r.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// openFolder opens the folder of the model at path.
func openFolder(path string) (*folder, error) {
	dir := filepath.Dir(path)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, plain(err)
	}
	return &folder{path: dir, root: root, seen: make(map[string]fs.FileInfo)}, nil
}

// region resolves the external_data entries of a tensor of want bytes. The keys
// are those of docs/ExternalData.md; checksum and any other key are not used.
func (f *folder) region(entries []*onnxpb.StringStringEntryProto, want int64) (Data, error) {
	var location string
	length, offset := want, int64(0)
	for _, e := range entries {
		var err error
		switch e.GetKey() {
		case "location":
			location = e.GetValue()
		case "offset":
			offset, err = parseSize(e.GetValue())
		case "length":
			length, err = parseSize(e.GetValue())
		}
		if err != nil {
			return nil, fmt.Errorf("external data: %s %w", e.GetKey(), err)
		}
	}
	if f == nil {
		return nil, fmt.Errorf("external data %q: a model read from a stream has no folder to look in; read it "+
			"from its file", location)
	}
	if length != want {
		return nil, fmt.Errorf("external data %q: length %d, but the dimensions need %d bytes", location, length, want)
	}
	info, err := f.stat(location)
	if err != nil {
		return nil, fmt.Errorf("external data %q: %w", location, err)
	}
	if offset > info.Size() || length > info.Size()-offset {
		return nil, fmt.Errorf("external data %q: offset %d and length %d reach past the end of the file, which "+
			"has %d bytes", location, offset, length, info.Size())
	}
	return region{f.path, location, offset, length, info.Size(), info.ModTime()}, nil
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number of bytes", s)
	}
	return n, nil
}

// stat looks up a location once. It must be a regular file in the folder.
func (f *folder) stat(location string) (fs.FileInfo, error) {
	if info, ok := f.seen[location]; ok {
		return info, nil
	}
	local := filepath.FromSlash(location)
	switch {
	case location == "":
		return nil, errors.New("the location is empty")
	case !filepath.IsLocal(local) || slices.Contains(strings.FieldsFunc(location, isSlash), ".."):
		return nil, errors.New("the location leaves the model's folder; move the file there")
	}
	info, err := f.root.Stat(local)
	if err != nil {
		return nil, rooted(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	// A second name may lie outside the folder, and the file belong to somebody
	// else.
	if n := hardLinks(info); n > 1 {
		return nil, fmt.Errorf("the file has %d names (hard links); copy it", n)
	}
	f.seen[location] = info
	return info, nil
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// plain strips the operation and the path from a file error: the message that
// wraps it names the file.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// rooted is plain for an error of os.Root, which has no name for the one that
// matters most.
func rooted(err error) error {
	if err = plain(err); strings.Contains(err.Error(), "escapes") {
		return errors.New("a symbolic link in it leaves the model's folder; copy the file there")
	}
	return err
}
