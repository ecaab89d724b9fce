package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert/record"
	"efcn/internal/arrays"
	"efcn/internal/atomicfile"
	"efcn/internal/chart"
	"efcn/onnxio"
)

type exportFlags struct {
	layer  string
	output string
	mask   bool
	json   bool
}

// exported is what export --json prints.
type exported struct {
	Model  string `json:"model"`
	Layer  string `json:"layer"`
	Rows   int    `json:"rows"`
	Cols   int    `json:"cols"`
	Mask   bool   `json:"mask"` // the support in place of the weights
	Output string `json:"output"`
	Bytes  int64  `json:"bytes"`
}

func (f *exportFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.layer, "layer", "", "name of the layer's node")
	flags.StringVarP(&f.output, "output", "o", "", "file to write: .npz, .mtx, .npy, .png or .svg")
	flags.BoolVar(&f.mask, "mask", false, "the support in place of the weights: 1 inside, 0 outside")
	addJSONFlag(flags, &f.json)
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
	".png": func(ctx context.Context, w io.Writer, a *record.Matrix, mask bool) error {
		t, err := tileOf(ctx, a, mask)
		if err != nil {
			return err
		}
		return t.WritePNG(w)
	},
	".svg": func(ctx context.Context, w io.Writer, a *record.Matrix, mask bool) error {
		t, err := tileOf(ctx, a, mask)
		if err != nil {
			return err
		}
		return t.WriteSVG(w, "matrix of "+a.Layer.Node)
	},
}

// mostDrawn is how many entries a picture of a matrix has at the most: a PNG has a pixel
// for each.
const mostDrawn = 1 << 24

// tileOf is a picture of a matrix, or of its support.
func tileOf(ctx context.Context, a *record.Matrix, mask bool) (*chart.Tile, error) {
	if n := int64(a.Rows) * int64(a.Cols); n > mostDrawn {
		return nil, fmt.Errorf("a picture of %d x %d entries; want %d at the most, or another format", a.Rows, a.Cols,
			mostDrawn)
	}
	t := &chart.Tile{Rows: a.Rows, Cols: a.Cols}
	dense := a.Dense(ctx, mask)
	if !mask {
		var err error
		t.Values, err = onnxio.Floats[float32](dense)
		return t, err
	}
	var b bytes.Buffer
	if _, err := dense.Data.WriteTo(&b); err != nil {
		return nil, err
	}
	t.Values = make([]float32, b.Len())
	for i, v := range b.Bytes() {
		t.Values[i] = float32(v)
	}
	return t, nil
}

func newExport(e *env) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export EFCN --layer NAME -o A.npz|A.mtx|A.npy|A.png|A.svg",
		Short: "Write one layer's matrix for scipy, MATLAB or Julia",
		Long: `export writes the matrix of one layer of an eFCN, [outputs, inputs], in the format
of the output's extension: .npz is what scipy.sparse.load_npz reads (compressed
rows, the non-zeros), .mtx is Matrix Market (coordinates, the non-zeros), .npy is
a dense NumPy array. .png and .svg are pictures of it, a row for each output: red is
positive, blue negative, the ground zero, the colour as strong as the square root of
the weight. --mask writes the support instead.`,
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
		return usagef("-o %s: unknown extension; want .npz, .mtx, .npy, .png or .svg", f.output)
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
	if f.json {
		return printJSON(e.out, exported{path, f.layer, a.Rows, a.Cols, f.mask, f.output, n})
	}
	fmt.Fprintf(e.aside(f.output), "wrote %s (%d x %d, %s)\n", f.output, a.Rows, a.Cols, formatBytes(n))
	return nil
}
