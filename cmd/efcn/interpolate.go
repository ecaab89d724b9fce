package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/landscape"
	"efcn/internal/atomicfile"
	"efcn/internal/chart"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

type interpolateFlags struct {
	skipBad skipBad
	data    string
	test    string
	mode    oneOf // Default linear.
	points  int   // Default 21.
	output  string
	plot    string
	json    bool

	// Of mode string.
	images    int     // Default 5.
	stiffness float64 // Default 1.
	epochs    int     // Default 10.
	batch     int     // Default 250, in the other modes too.
	rate      float64 // Default 0.1.
	seed      uint64  // Default 0.
	device    deviceFlags
}

// ofString are the flags that only mode string has a use for.
var ofString = []string{"images", "stiffness", "epochs", "lr", "seed"}

func (f *interpolateFlags) addFlags(flags *pflag.FlagSet) {
	f.mode = choice(landscape.Linear, landscape.Modes()...)
	s := landscape.DefaultString()
	flags.StringVar(&f.data, "data", "", "labelled images to measure on, and to find a string with: the training set")
	f.skipBad.addFlags(flags)
	flags.StringVar(&f.test, "test", "", "labelled images to measure on as well")
	flags.Var(&f.mode, "mode", "kind of path")
	flags.IntVar(&f.points, "points", 21, "places of the path to measure, both ends among them")
	flags.StringVarP(&f.output, "output", "o", "", "write the figures to this .csv file; - is stdout")
	flags.StringVar(&f.plot, "plot", "", "draw the losses into this .svg or .png file")
	flags.IntVar(&f.images, "images", s.Images, "string: models that it is made of, both ends among them")
	flags.Float64Var(&f.stiffness, "stiffness", s.Stiffness, "string: of the springs between neighbours")
	flags.IntVar(&f.epochs, "epochs", s.Epochs, "string: passes over the training images")
	flags.IntVar(&f.batch, "batch", s.Batch, "images at once, or a step of a string")
	flags.Float64Var(&f.rate, "lr", s.Rate, "string: learning rate")
	flags.Uint64Var(&f.seed, "seed", 0, "string: seed of the order of the images")
	f.device.addFlags(flags)
	addJSONFlag(flags, &f.json)
}

func newInterpolate(e *env) *cobra.Command {
	var f interpolateFlags
	cmd := &cobra.Command{
		Use:   "interpolate A B --data SPEC",
		Short: "Measure loss and accuracy on a path between two models",
		Long: `interpolate measures models on a path from A to B, two models of one architecture:
an eFCN before and after training, or an eFCN and a standard FCN of its shape.

  linear       W(t) = (1-t)*A + t*B
  curvilinear  the same, with the norm of every weight tensor set to
               (1-t)*|A| + t*|B|
  average      the models' outputs (logits) are averaged, not their weights
  string       a chain of models that is trained to go round what is between
               A and B, at equal distances (nudged elastic band)

A CNN among the two is embedded first, in the form that the other one has: interpolate
CNN EFCN is the path from the eFCN of the CNN.

The barrier is how far the loss rises above the greater of its two ends. Of factored
layers U and V are the weights, and a path leaves U*V even where both ends have the same.

` + deviceHelp + `

` + dataHelp,
		Args: args("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.data == "":
				return usagef("--data is missing")
			case f.points < 2:
				return usagef("--points %d; want 2 at least, the two ends", f.points)
			case f.batch < 1:
				return usagef("--batch %d; want a number from 1", f.batch)
			}
			if err := cmp.Or(oneOnStdout(f.output, f.json), f.device.validate()); err != nil {
				return err
			}
			if f.plot != "" {
				if err := chart.CheckFormat(f.plot); err != nil {
					return usagef("--plot %w", err)
				}
			}
			for _, name := range ofString {
				if f.mode.value != string(landscape.String) && cmd.Flags().Changed(name) {
					return usagef("--%s is for --mode string", name)
				}
			}
			o := f.options()
			if err := o.Validate(); err != nil {
				return usageError{err}
			}
			return f.run(cmd.Context(), e, args[0], args[1], o)
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *interpolateFlags) options() landscape.Options {
	o := landscape.Options{Mode: landscape.Mode(f.mode.value), Points: f.points, Batch: f.batch}
	if o.Mode == landscape.String {
		o.String = landscape.StringOptions{
			Images: f.images, Stiffness: f.stiffness, Epochs: f.epochs, Batch: f.batch, Rate: f.rate, Seed: f.seed,
		}
	}
	return o
}

func (f *interpolateFlags) run(ctx context.Context, e *env, pathA, pathB string, o landscape.Options) error {
	a, b, err := e.readTwo(pathA, pathB)
	if err != nil {
		return err
	}
	if a, b, err = e.bothEmbedded(pathA, pathB, a, b); err != nil {
		return err
	}
	for _, path := range []string{f.output, f.plot} {
		if path != "" && path != "-" {
			if err := atomicfile.Check(path); err != nil {
				return err
			}
		}
	}
	device, release, err := f.device.open(ctx, e)
	if err != nil {
		return err
	}
	defer release()
	if device != nil {
		o.Device, o.Open = device, finetune.OnDevice(device, nil, f.batch)
	}
	train, test, err := data.OpenBoth(ctx, f.skipBad.in(f.data), f.skipBad.in(f.test))
	if err != nil {
		return err
	}
	e.noteSkipped("interpolate", f.data, train)
	e.noteSkipped("interpolate", f.test, test)
	e.logf("matrix products by %s on %d threads", kernel.BLAS(), kernel.Threads())
	bar := e.progress("interpolate")
	defer bar.clear()
	o.Progress = bar.at
	path, err := landscape.Interpolate(ctx, a, b, train, test, o)
	bar.clear()
	if err != nil {
		return inFile(pathA+" and "+pathB, err)
	}
	if f.output != "" {
		if err := e.writeOutput(f.output, func(w io.Writer) error { return writePath(w, path) }); err != nil {
			return err
		}
	}
	if f.plot != "" {
		if err := pathChart(path).WriteFile(f.plot); err != nil {
			return err
		}
	}
	if f.json {
		return printJSON(e.out, pathDocument(pathA, pathB, path))
	}
	text := e.results(f.output)
	fmt.Fprintf(text, "from %s (t = 0) to %s (t = 1), mode %s\n\n", pathA, pathB, path.Mode)
	printPath(text, path)
	for _, file := range []string{f.output, f.plot} {
		if file != "" && file != "-" {
			fmt.Fprintf(e.aside(f.output), "wrote %s\n", file)
		}
	}
	return nil
}

// bothEmbedded returns the models as eFCNs where one of them is: a CNN is embedded as the
// other one is.
func (e *env) bothEmbedded(pathA, pathB string, a, b *onnxio.Model) (*onnxio.Model, *onnxio.Model, error) {
	recA, err := record.Read(a)
	if err != nil {
		return nil, nil, inFile(pathA, err)
	}
	recB, err := record.Read(b)
	if err != nil {
		return nil, nil, inFile(pathB, err)
	}
	embed := func(path, other string, cnn, efcn *onnxio.Model) (*onnxio.Model, error) {
		e.notef("efcn interpolate: %s is no eFCN: it is embedded as %s is", path, other)
		plan, err := convert.AlsoEmbed(cnn, efcn)
		if of, ok := errors.AsType[*convert.CNNError](err); ok {
			return nil, inFile(path, of.Err)
		}
		if err != nil {
			return nil, inFile(other, err)
		}
		m, err := plan.Model()
		return m, inFile(path, err)
	}
	switch {
	case recA == nil && recB != nil:
		a, err = embed(pathA, pathB, a, b)
	case recA != nil && recB == nil:
		b, err = embed(pathB, pathA, b, a)
	}
	return a, b, err
}

// interpolated is what interpolate --json prints.
type interpolated struct {
	A            string         `json:"a"`
	B            string         `json:"b"`
	Mode         string         `json:"mode"`
	Distance     verify.Figure  `json:"distance"`
	Length       verify.Figure  `json:"length"`
	TrainBarrier verify.Figure  `json:"train_barrier"`
	TestBarrier  *verify.Figure `json:"test_barrier,omitempty"`
	Points       []place        `json:"points"`
}

type place struct {
	T     float64   `json:"t"`
	Train *measured `json:"train"`
	Test  *measured `json:"test,omitempty"`
}

func pathDocument(a, b string, p *landscape.Path) interpolated {
	d := interpolated{
		A: a, B: b, Mode: string(p.Mode),
		Distance: verify.Figure(p.Distance), Length: verify.Figure(p.Length),
		TrainBarrier: verify.Figure(p.TrainBarrier), TestBarrier: (*verify.Figure)(p.TestBarrier),
	}
	for _, q := range p.Points {
		at := place{T: q.T, Train: measure(q.Train)}
		if q.Test != nil {
			at.Test = measure(*q.Test)
		}
		d.Points = append(d.Points, at)
	}
	return d
}

func printPath(w io.Writer, p *landscape.Path) {
	header := []string{">t", ">loss on --data", ">top-1 on --data"}
	if p.TestBarrier != nil {
		header = append(header, ">loss on --test", ">top-1 on --test")
	}
	var rows [][]string
	for _, q := range p.Points {
		row := []string{strconv.FormatFloat(q.T, 'g', 4, 64)}
		for _, m := range metricsOf(q) {
			row = append(row, formatLoss(m.Loss), fmt.Sprintf("%.2f %%", 100*m.Top1))
		}
		rows = append(rows, row)
	}
	printTable(w, header, rows)
	if p.Mode != landscape.Average {
		fmt.Fprintf(w, "distance %.6g, length of the path %.6g\n", p.Distance, p.Length)
	}
	fmt.Fprintf(w, "barrier: %.4g of the loss on --data", p.TrainBarrier)
	if p.TestBarrier != nil {
		fmt.Fprintf(w, ", %.4g of that on --test", *p.TestBarrier)
	}
	fmt.Fprintln(w)
}

// metricsOf are those on the training and, if there was one, the test set.
func metricsOf(q landscape.Point) []finetune.Metrics {
	if q.Test == nil {
		return []finetune.Metrics{q.Train}
	}
	return []finetune.Metrics{q.Train, *q.Test}
}

// writePath writes a row for each place, with all digits.
func writePath(w io.Writer, p *landscape.Path) error {
	c := csv.NewWriter(w)
	header := []string{"t", "train_loss", "train_top1"}
	if p.TestBarrier != nil {
		header = append(header, "test_loss", "test_top1")
	}
	// What fails on the way fails at Flush, too, which Error is about.
	_ = c.Write(header)
	for _, q := range p.Points {
		row := []string{strconv.FormatFloat(q.T, 'g', -1, 64)}
		for _, m := range metricsOf(q) {
			row = append(row, strconv.FormatFloat(m.Loss, 'g', -1, 64), strconv.FormatFloat(m.Top1, 'g', -1, 64))
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// pathChart shows the losses along a path.
func pathChart(p *landscape.Path) *chart.Chart {
	c := &chart.Chart{
		Title: "loss on the " + string(p.Mode) + " path", X: "t, from A (0) to B (1)", Y: "loss (cross-entropy)",
	}
	names := []string{"train", "test"}
	for i := range metricsOf(p.Points[0]) {
		l := chart.Line{Name: names[i]}
		for _, q := range p.Points {
			l.X, l.Y = append(l.X, q.T), append(l.Y, metricsOf(q)[i].Loss)
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}
