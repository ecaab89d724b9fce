package arrays

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"efcn/onnxio"
)

// ReadNPZ reads every array of a .npz file, in the file's order.
func ReadNPZ(path string) ([]*onnxio.Tensor, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: not a .npz file: %w", path, err)
	}
	defer z.Close()
	all := make([]*onnxio.Tensor, 0, len(z.File))
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, ".npy")
		a, err := readEntry(f, name)
		if err != nil {
			return nil, fmt.Errorf("%s: array %q: %w", path, name, err)
		}
		all = append(all, a)
	}
	return all, nil
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
