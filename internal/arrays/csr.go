package arrays

import (
	"archive/zip"
	"io"

	"efcn/onnxio"
)

// WriteCSR writes a sparse matrix [rows, cols] in compressed rows, as
// scipy.sparse.save_npz stores it and load_npz reads it: indptr and indices,
// integers of one type, and data.
func WriteCSR(w io.Writer, rows, cols int64, indptr, indices, data *onnxio.Tensor) error {
	z := zip.NewWriter(w)
	entry := func(name string, write func(w io.Writer) error) error {
		e, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		return write(e)
	}
	shape := onnxio.NewTensor("shape", []int64{2}, []int64{rows, cols})
	arrays := []*onnxio.Tensor{indices, indptr, shape, data}
	for i, name := range []string{"indices", "indptr", "shape", "data"} {
		a := arrays[i]
		if err := entry(name, func(w io.Writer) error { return WriteNPY(w, a) }); err != nil {
			return err
		}
	}
	// The format is an array of no axes that holds three bytes.
	err := entry("format", func(w io.Writer) error {
		if err := writeNPYHeader(w, "|S3", nil); err != nil {
			return err
		}
		_, err := w.Write([]byte("csr"))
		return err
	})
	if err != nil {
		return err
	}
	return z.Close()
}
