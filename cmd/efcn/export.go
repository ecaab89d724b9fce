package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/record"
	"efcn/internal/arrays"
	"efcn/internal/atomicfile"
)

type exportFlags struct {
	layer  string
	output string
	mask   bool
}

func (f *exportFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.layer, "layer", "", "name of the layer's node")
	flags.StringVarP(&f.output, "output", "o", "", "file to write: .npz, .mtx or .npy")
	flags.BoolVar(&f.mask, "mask", false, "the support in place of the weights: 1 inside, 0 outside")
}

// exporters write a matrix in the format of a file's extension.
var exporters = map[string]func(ctx context.Context, w io.Writer, a *record.Matrix, mask bool) error{
	".npz": func(ctx context.Context, w io.Writer, a *record.Matrix, mask bool) error {
		c, err := a.CSR(ctx, mask)
		if err != nil {
			return err
		}
		return arrays.WriteCSR(w, c.Rows, c.Cols, c.Indptr, c.Indices, c.Data)
	},
	".mtx": func(ctx context.Context, w io.Writer, a *record.Matrix, mask bool) error {
		return a.WriteMatrixMarket(ctx, w, mask)
	},
	".npy": func(ctx context.Context, w io.Writer, a *record.Matrix, mask bool) error {
		return arrays.WriteNPY(w, a.Dense(ctx, mask))
	},
}

func newExport(e *env) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export EFCN --layer NAME -o A.npz|A.mtx|A.npy",
		Short: "Write one layer's matrix for scipy, MATLAB or Julia",
		Long: `export writes the matrix of one layer of an eFCN, [outputs, inputs], in the format
of the output's extension: .npz is what scipy.sparse.load_npz reads (compressed
rows, the non-zeros), .mtx is Matrix Market (coordinates, the non-zeros), .npy is
a dense NumPy array. --mask writes the support instead.`,
		Args: args("EFCN"),
		RunE: onFile(e, f.validate, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *exportFlags) validate() error {
	switch {
	case f.layer == "":
		return usagef("--layer NAME is missing")
	case f.output == "":
		return usagef("-o FILE is missing")
	}
	return nil
}

func (f *exportFlags) run(ctx context.Context, e *env, path string) error {
	write := exporters[filepath.Ext(f.output)]
	if write == nil {
		return usagef("-o %s: unknown extension; want .npz, .mtx or .npy", f.output)
	}
	efcn, err := e.readModel(path)
	if err != nil {
		return err
	}
	a, err := record.Open(efcn, f.layer)
	if err != nil {
		return inFile(path, err)
	}
	var n int64
	err = atomicfile.Write(f.output, func(w io.Writer) error {
		buf := bufio.NewWriterSize(writerFunc(func(p []byte) (int, error) {
			k, err := w.Write(p)
			n += int64(k)
			return k, err
		}), 1<<20)
		if err := write(ctx, buf, a, f.mask); err != nil {
			return err
		}
		return buf.Flush()
	})
	if err != nil {
		return inFile(f.output, err)
	}
	fmt.Fprintf(e.aside(f.output), "wrote %s (%d x %d, %s)\n", f.output, a.Rows, a.Cols, formatBytes(n))
	return nil
}
