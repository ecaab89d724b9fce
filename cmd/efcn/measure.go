package main

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert"
	"efcn/convert/affine"
	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

type measureFlags struct {
	cnn      string // Default none.
	names    map[string]string
	spectrum int    // Default 0: none.
	output   string // Default none.
	json     bool
}

func (f *measureFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.cnn, "cnn", "", "the CNN that the eFCN was made from")
	flags.StringToStringVar(&f.names, "map", nil,
		"of an eFCN whose metadata is gone: NODE=NAME, a node of the CNN and its product; may be given again")
	flags.IntVar(&f.spectrum, "spectrum", 0,
		"print so many singular values of what each layer has outside the support; 64 where no number is given")
	flags.Lookup("spectrum").NoOptDefVal = "64"
	flags.StringVarP(&f.output, "output", "o", "", "with --spectrum: write the values to this .csv file; - is stdout")
	addJSONFlag(flags, &f.json)
}

func (f *measureFlags) validate() error {
	switch {
	case f.spectrum < 0:
		return usagef("--spectrum=%d; want a number from 1", f.spectrum)
	case len(f.names) > 0 && f.cnn == "":
		return usagef("--map is for --cnn: it names nodes of that")
	case len(f.names) > 0 && f.spectrum > 0:
		return usagef("--map: there is no --spectrum without the record of the conversion")
	case f.output != "" && f.spectrum == 0:
		return usagef("-o is for --spectrum")
	}
	return oneOnStdout(f.output, f.json)
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
the CNN that the eFCN was made from as well.

An eFCN that went through another tool may have lost its metadata, and with it what
says which matrix is of which layer. With --cnn the layers are then recognised, in
dense form: by their names, or by the size of the matrix where one layer alone has it.
--map NODE=NAME says it of the others: a node of the CNN, and the name that the
product, or its matrix, has in the eFCN.

With --spectrum it prints the largest singular values of what each layer's matrix has
outside the support, 64 of them or as many as --spectrum=N says, and the share of the
energy (of the sum of squares outside the support) that the first 1, 4, 8, 16, 32 and
64 have: what compress --layout factored would keep. They are found by randomised
subspace iteration, until none rises by more than a millionth of the largest in a
round, 30 rounds at most. That is no bound on the error: where the spectrum falls
slowly they are a little low, most of all for a small N, and the energies with them. A
matrix of up to 256 rows or columns is decomposed whole, which is exact.

Under mpirun or srun each rank measures some of the layers, and rank 0 reports.
--spectrum is computed by one process only.`,
		Args: args("EFCN"),
		RunE: onFile(e, f.validate, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *measureFlags) run(ctx context.Context, e *env, path string) error {
	if f.spectrum > 0 && e.world != nil {
		return usagef("--spectrum is computed by one process; start it without mpirun or srun")
	}
	efcn, err := e.readModel(path)
	if err != nil {
		return err
	}
	efcn, origin, recognised, err := f.origin(e, path, efcn)
	if err != nil {
		return err
	}
	d, err := e.deviation(ctx, efcn, origin)
	if errors.Is(err, record.ErrMissing) && f.cnn == "" {
		err = fmt.Errorf("%w; with --cnn CNN its layers are recognised", err)
	}
	if err != nil {
		return inFile(path, err)
	}
	var spectra []compress.Spectrum
	if f.spectrum > 0 {
		if spectra, err = compress.Spectra(ctx, efcn, f.spectrum); err != nil {
			return inFile(path, err)
		}
	}
	if f.output != "" {
		err := e.writeOutput(f.output, func(w io.Writer) error { return writeSpectra(w, spectra) })
		if err != nil {
			return inFile(f.output, err)
		}
	}
	if f.json {
		return printJSON(e.out, deviated{path, f.cnn, d, recognised, spectra})
	}
	text := e.results(f.output)
	printDeviation(text, d)
	for _, r := range recognised {
		fmt.Fprintf(text, "recognised by %s: %s is %s, with the matrix %s\n", r.By, r.Layer, r.Node, r.Weight)
	}
	if f.spectrum > 0 {
		printSpectra(text, spectra)
	}
	return nil
}

// deviation measures an eFCN; of several ranks, each measures some layers.
func (e *env) deviation(ctx context.Context, efcn *onnxio.Model, origin map[string]*affine.Map,
) (*record.Deviation, error) {
	if e.world == nil {
		return record.Measure(ctx, efcn, origin)
	}
	rec, err := record.Read(efcn)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, record.ErrMissing
	}
	size := map[string]int64{}
	for _, t := range efcn.Graph.Initializers {
		size[t.Name] = t.Data.Len()
	}
	for name, t := range efcn.Graph.SparseConstants() {
		size[name] = t.Values.Data.Len()
	}
	costs := make([]int64, len(rec.Layers))
	for i, l := range rec.Layers {
		costs[i] = size[l.Weight]
	}
	rankOf := mpi.Shares(costs, e.world.Size())
	own, err := record.MeasureSome(ctx, efcn, origin, func(layer int) bool { return rankOf[layer] == e.world.Rank() })
	if err := e.world.Agree(ctx, err); err != nil {
		return nil, err
	}
	var message bytes.Buffer
	if err := gob.NewEncoder(&message).Encode(own); err != nil {
		return nil, err
	}
	messages, err := e.world.AllgatherBytes(ctx, message.Bytes())
	if err != nil {
		return nil, err
	}
	parts := make([]*record.Deviation, len(messages))
	for r, m := range messages {
		if err := gob.NewDecoder(bytes.NewReader(m)).Decode(&parts[r]); err != nil {
			return nil, err
		}
	}
	return record.Combine(parts, origin != nil), nil
}

// origin returns what the CNN says of the layers of an eFCN, which it gives a record if
// that is gone; nothing without --cnn.
func (f *measureFlags) origin(e *env, path string, efcn *onnxio.Model) (
	*onnxio.Model, map[string]*affine.Map, []convert.Recognised, error,
) {
	if f.cnn == "" {
		return efcn, nil, nil, nil
	}
	cnn, err := e.readModel(f.cnn)
	if err != nil {
		return nil, nil, nil, err
	}
	var maps map[string]*affine.Map
	var recognised []convert.Recognised
	rec, err := record.Read(efcn)
	switch {
	case err != nil:
	case rec == nil && f.spectrum == 0:
		efcn, maps, recognised, err = convert.Recognise(efcn, cnn, f.names)
	case len(f.names) > 0:
		return nil, nil, nil, usagef("--map is for an eFCN whose metadata is gone; %s has its record", path)
	default:
		maps, err = convert.Embedding(efcn, cnn)
	}
	var of *convert.CNNError
	if errors.As(err, &of) {
		return nil, nil, nil, inFile(f.cnn, of.Err)
	}
	return efcn, maps, recognised, inFile(path, err)
}

// deviated is what measure --json prints.
type deviated struct {
	Model string `json:"model"`
	CNN   string `json:"cnn,omitempty"`
	*record.Deviation
	Recognised []convert.Recognised `json:"recognised,omitempty"`
	Spectra    []compress.Spectrum  `json:"spectra,omitempty"`
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
