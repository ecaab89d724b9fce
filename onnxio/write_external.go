package onnxio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	externalMin = 1 << 10 // bytes from which an initializer goes to the external file
	alignSmall  = 64      // a cache line, for loads from mapped memory
	alignLarge  = 4096    // a page, for the tensors that runtimes map one by one
	largeTensor = 1 << 20
)

// dataFile is the content of a file of external data: tensors at offsets, zeros
// between.
type dataFile struct {
	tensors []*Tensor
	places  map[*Tensor]place
	size    int64
}

// layOut gives every initializer of at least externalMin bytes, of the graph
// and of the graphs in it, a place.
func layOut(m *Model) *dataFile {
	d := &dataFile{places: make(map[*Tensor]place)}
	m.graphs(func(g *Graph) {
		for _, t := range g.Initializers {
			if t.Data == nil || t.Data.Len() < externalMin {
				continue
			}
			if _, ok := d.places[t]; ok {
				continue
			}
			align := int64(alignSmall)
			if t.Data.Len() >= largeTensor {
				align = alignLarge
			}
			offset := (d.size + align - 1) / align * align
			d.places[t] = place{offset, t.Data.Len()}
			d.tensors = append(d.tensors, t)
			d.size = offset + t.Data.Len()
		}
	})
	return d
}

func (d *dataFile) WriteTo(w io.Writer) (int64, error) {
	var zeros [alignLarge]byte
	var at int64
	for _, t := range d.tensors {
		n, err := w.Write(zeros[:d.places[t].offset-at])
		at += int64(n)
		if err != nil {
			return at, err
		}
		k, err := writeData(w, t.Data, t.Name)
		at += k
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

// writeExternal writes the large initializers of m to a new file beside path, which
// it notes in w, and returns the encoded model that refers to it. There is none
// if there is nothing to put into it. On an error no file is left.
func writeExternal(ctx context.Context, path string, m *Model, opts WriteOptions, w *Written) (*rope, error) {
	d := layOut(m)
	if len(d.tensors) == 0 {
		return new(encoder).model(m)
	}
	f, err := newDraft(path, dataName)
	if err != nil {
		return nil, plain(err)
	}
	if err = f.fill(ctx, d, d.size, opts); err == nil {
		err = plain(f.finish())
	}
	var r *rope
	if err == nil {
		e := &encoder{location: filepath.Base(f.name), external: d.places}
		r, err = e.model(m)
	}
	if err != nil {
		f.discard()
		return nil, err
	}
	w.DataPath, w.DataBytes = f.name, d.size
	return r, nil
}

// dataName names the file of external data for a model at path. No model refers to
// a name that is free before the new model is in place, so the file needs no
// temporary one; having it claims it against another writer.
func dataName(path string, i int) string {
	if i == 0 {
		return path + ".data"
	}
	return fmt.Sprintf("%s.%d.data", path, i)
}

// replacedData returns the files of external data that the model now at path
// refers to and that nothing will refer to once that model is replaced by one
// whose data is in keep: files that dataName could have named, which no other
// model in the folder mentions.
func replacedData(path, keep string) []string {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	listing, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	ours := regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `(\.[1-9][0-9]*)?\.data$`)
	candidates := make(map[string]bool)
	for _, e := range listing {
		if ours.MatchString(e.Name()) && e.Type().IsRegular() && e.Name() != filepath.Base(keep) {
			candidates[e.Name()] = true
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	old, err := Read(path)
	if err != nil {
		return nil
	}
	var unused []string
	old.tensors(func(t *Tensor) {
		if r, ok := t.Data.(region); ok && candidates[r.location] {
			delete(candidates, r.location)
			for _, e := range listing {
				if e.Name() != base && strings.HasSuffix(e.Name(), ".onnx") &&
					mayMention(filepath.Join(dir, e.Name()), r.location) {
					return
				}
			}
			unused = append(unused, filepath.Join(dir, r.location))
		}
	})
	return unused
}

// mayMention reports whether the bytes of name occur in the file at path, or
// whether that can't be found out.
func mayMention(path, name string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	buf := make([]byte, 0, max(writeBuffer, 2*len(name)))
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if bytes.Contains(buf, []byte(name)) {
			return true
		}
		if err != nil {
			return err != io.EOF
		}
		if tail := len(name) - 1; len(buf) > tail { // the name may lie across two reads
			buf = append(buf[:0], buf[len(buf)-tail:]...)
		}
	}
}
