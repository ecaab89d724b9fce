package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"efcn/convert"
	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/onnxio"
)

// forCNNs are the flags of convert that say what becomes of a CNN.
var forCNNs = []string{
	"layout", "for", "layer", "only", "fold", "maxpool", "no-fold-bn", "input-shape", "batch-axis", "as", "strict",
}

// relayout takes an eFCN to another layout.
func (f *convertFlags) relayout(cmd *cobra.Command, e *env, path string) error {
	for _, name := range forCNNs {
		if cmd.Flags().Changed(name) {
			return usagef("--%s is for the conversion of a CNN; --to is of an eFCN", name)
		}
	}
	to := record.Layout(f.to.value)
	if f.rank != 0 && to != record.Factored {
		return usagef("--rank is for --to factored")
	}
	if err := f.validate(); err != nil {
		return err
	}
	efcn, err := e.readModel(path)
	if err != nil {
		return err
	}
	if err := f.checkRanks(efcn); err != nil {
		return inFile(path, err)
	}
	if !f.dryRun {
		if err := keepFiles(f.output, efcn, true); err != nil {
			return err
		}
	}
	out, report, err := compress.Relayout(cmd.Context(), efcn, to, cmp.Or(int(f.rank), convert.DefaultRank),
		int64(f.maxBytes))
	if err != nil {
		return inFile(path, err)
	}
	result := compressed{Model: path, Report: report}
	if !f.dryRun {
		bar := e.progress("convert")
		result.Output, err = e.writeModel(cmd.Context(), f.output, out, onnxio.WriteOptions{
			External: onnxio.ExternalData(f.external.value), NoSync: f.noSync, Progress: bar.writing(f.output),
		})
		bar.clear()
		if err != nil {
			return err
		}
	}
	if f.json {
		return printJSON(e.out, result)
	}
	text := e.aside(f.output)
	if f.dryRun {
		text = e.results(f.output)
	}
	printCompressed(text, report)
	if result.Output != nil {
		fmt.Fprintln(text, result.Output)
	}
	return nil
}

// checkRanks returns an error if --rank is given and a layer is factored already, of another.
func (f *convertFlags) checkRanks(efcn *onnxio.Model) error {
	rec, err := record.Read(efcn)
	if err != nil || rec == nil || f.rank == 0 {
		return err
	}
	for _, l := range rec.Layers {
		if l.Layout == record.Factored && l.Rank != int64(f.rank) {
			return fmt.Errorf("layer %q is factored already, of rank %d; --rank %d is for layers that are not", l.Node, l.Rank,
				f.rank)
		}
	}
	return nil
}
