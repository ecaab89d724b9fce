package arrays

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"efcn/onnxio"
)

// ReadNPZ reads every array of a .npz file, in the file's order, or those of the given
// names only.
func ReadNPZ(path string, only ...string) ([]*onnxio.Tensor, error) {
	z, err := openNPZ(path)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	all := make([]*onnxio.Tensor, 0, len(z.File))
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, ".npy")
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		a, err := readEntry(f, name)
		if err != nil {
			return nil, fmt.Errorf("%s: array %q: %w", path, name, err)
		}
		all = append(all, a)
	}
	return all, nil
}

func openNPZ(path string) (*zip.ReadCloser, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: not a .npz file: %w", path, err)
	}
	return z, nil
}

// Place is where an array of a .npz file lies in it.
type Place struct {
	Type onnxio.DataType
	Dims []int64
	// Offset is that of the first element in the file, if they lie there one after
	// another, row-major and little-endian; else Why says why not.
	Offset int64
	Why    string
}

// FindNPZ returns where an array of a .npz file lies, without reading its elements; nil
// where there is none of that name. Checksums are not compared.
func FindNPZ(path, name string) (*Place, error) {
	z, err := openNPZ(path)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return strings.TrimSuffix(f.Name, ".npy") == name })
	if i < 0 {
		return nil, nil
	}
	f := z.File[i]
	at, err := f.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("%s: array %q: %w", path, name, err)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: array %q: %w", path, name, err)
	}
	defer r.Close()
	in := &counter{r: r}
	h, err := readNPYHeader(in)
	if err != nil {
		return nil, fmt.Errorf("%s: array %q: %w", path, name, err)
	}
	p := &Place{Type: h.typ, Dims: h.dims, Offset: at + in.n}
	n, err := onnxio.NumElements(append(slices.Clone(h.dims), h.typ.Size()))
	switch {
	case err != nil || uint64(in.n+n) != f.UncompressedSize64:
		p.Why = "it is not as long as its header promises"
	case f.Method != zip.Store:
		p.Why = "it is compressed"
	case h.fortran:
		p.Why = "its elements lie column by column"
	case h.bigEndian:
		p.Why = "its elements are big-endian"
	}
	return p, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func readEntry(f *zip.File, name string) (*onnxio.Tensor, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	a, err := readNPY(r, name)
	if err != nil {
		return nil, err
	}
	// Reading to the end is what makes zip compare the checksum.
	if n, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	} else if n > 0 {
		return nil, fmt.Errorf("%d bytes follow the elements", n)
	}
	return a, nil
}

// ReadNPY reads the one array of a .npy file; its name is empty.
func ReadNPY(path string) (*onnxio.Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := readNPY(f, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// WriteNPZ writes arrays as a .npz archive, uncompressed as numpy.savez does,
// each under its name.
func WriteNPZ(w io.Writer, all []*onnxio.Tensor) error {
	z := zip.NewWriter(w)
	for _, a := range all {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: a.Name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if err := WriteNPY(entry, a); err != nil {
			return err
		}
	}
	return z.Close()
}
