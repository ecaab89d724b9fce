package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

type projectFlags struct{ outputFlags }

func (f *projectFlags) validate() error {
	if f.output == "" {
		return usagef("-o CNN.onnx is missing")
	}
	return f.outputFlags.validate()
}

func newProject(e *env) *cobra.Command {
	var f projectFlags
	cmd := &cobra.Command{
		Use:   "project EFCN -o CNN.onnx",
		Short: "Write the CNN that is nearest to an eFCN",
		Long: `project turns the layers of an eFCN into convolutions and poolings again: weights
outside the support are dropped, tied weights replaced by their mean. It writes
the CNN and prints how far the eFCN is from it. Of an eFCN that was not trained
this is the CNN that it was made from; a BatchNormalization that convert
multiplied into a layer stays there.`,
		Args: args("EFCN"),
		RunE: onFile(e, f.validate, f.run),
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// projected is what project --json prints.
type projected struct {
	Model string `json:"model"`
	*record.Deviation
	Output *written `json:"output"`
}

func (f *projectFlags) run(ctx context.Context, e *env, path string) error {
	efcn, err := e.readModel(path)
	if err != nil {
		return err
	}
	if err := keepFiles(f.output, efcn, true); err != nil {
		return err
	}
	cnn, d, err := restore.Project(ctx, efcn)
	if err != nil {
		return inFile(path, err)
	}
	bar := e.progress("project")
	w, err := e.writeModel(ctx, f.output, cnn, onnxio.WriteOptions{
		External: onnxio.ExternalData(f.external.value), Progress: bar.writing(f.output),
	})
	bar.clear()
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e.out, projected{path, d, w})
	}
	printDeviation(e.results(f.output), d)
	fmt.Fprintln(e.aside(f.output), w)
	return nil
}
