package onnxio

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// kinds are ways to hold some content: in memory, as a slice, in a file, generated.
func kinds(t *testing.T, content []byte) map[string]Data {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, append([]byte("before"), content...), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(content))
	var floats sliceData[uint16]
	for i := 0; i+1 < len(content); i += 2 {
		floats = append(floats, uint16(content[i])|uint16(content[i+1])<<8)
	}
	return map[string]Data{
		"raw": rawData(content), "slice": floats,
		"region": region{filepath.Dir(path), "data", 6, n, info.Size(), info.ModTime()},
		"file":   inFile{path, 6, n, info.Size(), info.ModTime()},
		"rows": GenerateRows(n/4, 4, func(w io.Writer, from, until int64) error {
			_, err := w.Write(content[4*from : 4*until])
			return err
		}),
		"generated": Generate(n, func(w io.Writer) error {
			for rest := content; len(rest) > 0; {
				k := min(len(rest), 7)
				if _, err := w.Write(rest[:k]); err != nil {
					return fmt.Errorf("generating: %w", err)
				}
				rest = rest[k:]
			}
			return nil
		}),
	}
}

func TestSections(t *testing.T) {
	content := make([]byte, 4*longRun)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	n := int64(len(content))
	for name, d := range kinds(t, content) {
		for _, c := range []struct{ off, run, step, count int64 }{
			{0, n, n, 1},
			{0, 0, 8, 3},
			{2, 4, 4, 5},                   // one run
			{3, 5, 9, 6},                   // not at elements
			{8, 16, 64, n/64 - 1},          // short runs
			{n - 64, 8, 56, 2},             // up to the end
			{10, longRun, longRun + 10, 3}, // long ones
			{longRun - 1, longRun + 1, 2*longRun - 1, 2}, // neither at elements
		} {
			var want []byte
			for k := range c.count {
				want = append(want, content[c.off+k*c.step:][:c.run]...)
			}
			part := Strided(d, c.off, c.run, c.step, c.count)
			for range 2 { // content can be read again
				var got bytes.Buffer
				written, err := part.WriteTo(&got)
				if err != nil || written != part.Len() || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%s %+v: %d of %d bytes, %v; equal %v", name, c, written, part.Len(), err,
						bytes.Equal(got.Bytes(), want))
				}
			}
			if c.count == 1 && c.run > 12 { // a section of a section
				inner := Section(Section(d, c.off+2, c.run-4), 3, 5)
				var got bytes.Buffer
				if _, err := inner.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), content[c.off+5:][:5]) {
					t.Errorf("%s %+v: section of a section: %v, %v", name, c, got.Bytes(), err)
				}
			}
		}
	}
}

// A section of strided content, and what fails while it is read.
func TestSectionsOfSections(t *testing.T) {
	content := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	for name, d := range kinds(t, content) {
		inner := Section(Strided(d, 1, 3, 10, 3), 2, 5) // of 123bcdlmn
		var got bytes.Buffer
		if _, err := inner.WriteTo(&got); err != nil || got.String() != "3bcdl" {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
		if _, err := Strided(d, 1, 3, 10, 3).WriteTo(failing{}); err == nil {
			t.Errorf("%s: a writer that fails was not noticed", name)
		}
	}
	short := Generate(20, func(w io.Writer) error { _, err := w.Write(content[:8]); return err })
	if _, err := Section(short, 4, 8).WriteTo(io.Discard); err == nil {
		t.Error("content that ends too early was not noticed")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
