package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert"
	"efcn/convert/affine"
	"efcn/convert/record"
)

type measureFlags struct {
	cnn  string // Default none.
	json bool
}

func (f *measureFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.cnn, "cnn", "", "the CNN that the eFCN was made from")
	addJSONFlag(flags, &f.json)
}

func newMeasure(e *env) *cobra.Command {
	var f measureFlags
	cmd := &cobra.Command{
		Use:   "measure EFCN",
		Short: "Report how far an eFCN has left the CNN subspace",
		Long: `measure prints, per layer and overall, the deviation d = |W - P(W)| / |W| from the
CNN subspace, where P drops what is outside the support and puts their mean in
place of tied weights, and the off-local share s, the part of |W| outside the
support. Both are 0 right after convert. With --cnn it prints the distance from
the CNN that the eFCN was made from as well.`,
		Args: args("EFCN"),
		RunE: onFile(e, nil, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *measureFlags) run(ctx context.Context, e *env, path string) error {
	efcn, err := e.readModel(path)
	if err != nil {
		return err
	}
	var origin map[string]*affine.Map
	if f.cnn != "" {
		cnn, err := e.readModel(f.cnn)
		if err != nil {
			return err
		}
		origin, err = convert.Embedding(efcn, cnn)
		var of *convert.CNNError
		if errors.As(err, &of) {
			return inFile(f.cnn, of.Err)
		}
		if err != nil {
			return inFile(path, err)
		}
	}
	d, err := record.Measure(ctx, efcn, origin)
	if err != nil {
		return inFile(path, err)
	}
	if f.json {
		return printJSON(e.out, struct {
			Model string `json:"model"`
			CNN   string `json:"cnn,omitempty"`
			*record.Deviation
		}{path, f.cnn, d})
	}
	printDeviation(e.out, d)
	return nil
}

// printDeviation prints a line for every layer and one for all.
func printDeviation(w io.Writer, d *record.Deviation) {
	header := []string{"node", "op", "layout", ">norm", ">d", ">s", ">d of bias"}
	if d.FromCNN != nil {
		header = append(header, ">from CNN")
	}
	share := func(distance, off, bias float64, from *float64) []string {
		cells := []string{formatShare(distance), formatShare(off), formatShare(bias)}
		if from != nil {
			cells = append(cells, formatShare(*from))
		}
		return cells
	}
	var rows [][]string
	var free []record.LayerDeviation
	for _, l := range d.Layers {
		if l.NotMeasured != "" {
			free = append(free, l)
			continue
		}
		rows = append(rows, append([]string{l.Node, l.Op, string(l.Layout), formatShare(l.Norm)},
			share(l.Distance, l.OffLocal, l.Bias, l.FromCNN)...))
	}
	rows = append(rows, append([]string{"all", "", "", ""}, share(d.Distance, d.OffLocal, d.Bias, d.FromCNN)...))
	printTable(w, header, rows)
	for _, l := range free {
		fmt.Fprintf(w, "not measured: %s (%s): %s\n", l.Node, l.Op, l.NotMeasured)
	}
}

// formatShare writes a ratio of norms with six digits.
func formatShare(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
