package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/finetune/report"
	"efcn/internal/atomicfile"
)

type reportFlags struct {
	output  string
	noCheck bool
	samples int // Default 16.
	json    bool
}

// reported is what report --json prints.
type reported struct {
	Folder string `json:"folder"`
	Output string `json:"output"`
	Bytes  int    `json:"bytes"`
}

func (f *reportFlags) addFlags(flags *pflag.FlagSet) {
	addOutputFlag(flags, &f.output)
	flags.BoolVar(&f.noCheck, "no-check", false, "do not verify the embeddings")
	flags.IntVar(&f.samples, "samples", 16, "random inputs to verify an embedding on")
	addJSONFlag(flags, &f.json)
}

func (f *reportFlags) validate(flags *pflag.FlagSet) error {
	switch {
	case f.output == "":
		return usagef("-o report.html is missing")
	case f.samples < 1:
		return usagef("--samples %d; want a number from 1", f.samples)
	case f.noCheck && flags.Changed("samples"):
		return usagef("--samples is for the check that --no-check leaves out")
	}
	return oneOnStdout(f.output, f.json)
}

func newReport(e *env) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report DIR -o report.html",
		Short: "Put a study or a run of training on one page",
		Long: `report writes one page of HTML about the folder of efcn relax, finished or not, or
of efcn finetune --checkpoint: how far the eFCN ends above the CNN and the
fully-connected network, curves, tables, deviation from the CNN subspace, pictures of
weights, the plan of the embedding and the settings. It holds all pictures itself, each
figure as SVG, PNG and CSV to save, and needs no network.

Differences are paired by seed: of the seeds that both sides have, with the interval of
Student's t at 95 %. Tables that efcn interpolate -o and efcn measure --spectrum -o wrote
into DIR as .csv are drawn too.

Every embedding of a study is verified, as efcn verify does, on the files of the
folder; --no-check leaves that out.`,
		Args: args("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(cmd.Flags()); err != nil {
				return err
			}
			return f.run(cmd.Context(), e, args[0])
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *reportFlags) run(ctx context.Context, e *env, dir string) error {
	if f.output != "-" {
		if err := atomicfile.Check(f.output); err != nil {
			return err
		}
	}
	page, err := e.report(ctx, dir, report.Options{NoCheck: f.noCheck, Samples: f.samples})
	if err != nil {
		return err
	}
	if err := e.writeOutput(f.output, func(w io.Writer) error { _, err := w.Write(page); return err }); err != nil {
		return err
	}
	switch {
	case f.json:
		return printJSON(e.out, reported{dir, f.output, len(page)})
	case f.output == "-":
		return nil
	}
	fmt.Fprintf(e.aside(f.output), "wrote %s (%s)\n", f.output, formatBytes(int64(len(page))))
	return nil
}

// report returns the page about a folder: it is small, and one that fails half-way
// is none.
func (e *env) report(ctx context.Context, dir string, o report.Options) ([]byte, error) {
	bar := e.progress("report")
	defer bar.clear()
	o.Progress = bar.at
	var page bytes.Buffer
	err := report.Write(ctx, &page, dir, o)
	return page.Bytes(), inFile(dir, err)
}

func writeFile(path string, b []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}
