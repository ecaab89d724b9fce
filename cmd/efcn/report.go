package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"efcn/finetune/report"
	"efcn/internal/atomicfile"
)

func newReport(e *env) *cobra.Command {
	var (
		output  string
		noCheck bool
		samples int
	)
	cmd := &cobra.Command{
		Use:   "report DIR -o report.html",
		Short: "Put a study or a run of training on one page",
		Long: `report writes one page of HTML about the folder of efcn relax, finished or not, or
of efcn finetune --checkpoint: curves, tables, deviation from the CNN subspace,
pictures of weights, the plan of the embedding and the settings. It holds all
pictures itself and needs no network.

Every embedding of a study is verified, as efcn verify does, on the files of the
folder; --no-check leaves that out.`,
		Args: args("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case output == "":
				return usagef("-o report.html is missing")
			case samples < 1:
				return usagef("--samples %d; want a number from 1", samples)
			case noCheck && cmd.Flags().Changed("samples"):
				return usagef("--samples is for the check that --no-check leaves out")
			}
			if output != "-" {
				if err := atomicfile.Check(output); err != nil {
					return err
				}
			}
			page, err := e.report(cmd.Context(), args[0], report.Options{NoCheck: noCheck, Samples: samples})
			if err != nil {
				return err
			}
			if err := e.writeOutput(output, func(w io.Writer) error { _, err := w.Write(page); return err }); err != nil {
				return err
			}
			if output == "-" {
				return nil
			}
			fmt.Fprintf(e.out, "wrote %s (%s)\n", output, formatBytes(int64(len(page))))
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; - is stdout")
	cmd.Flags().BoolVar(&noCheck, "no-check", false, "do not verify the embeddings")
	cmd.Flags().IntVar(&samples, "samples", 16, "random inputs to verify an embedding on")
	return cmd
}

// report returns the page about a folder: it is small, and one that fails half-way
// is none.
func (e *env) report(ctx context.Context, dir string, o report.Options) ([]byte, error) {
	bar := e.progress()
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
