package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn"
	"efcn/onnxio"
)

// readUnchecked reads a model, from stdin if path is "-", valid or not.
func (e *env) readUnchecked(path string) (*onnxio.Model, error) {
	if path == "-" {
		m, err := onnxio.ReadFrom(e.in)
		return m, inFile("stdin", err)
	}
	m, err := onnxio.Read(path)
	return m, inFile(path, err)
}

type checkFlags struct {
	json bool
}

func (f *checkFlags) addFlags(flags *pflag.FlagSet) {
	addJSONFlag(flags, &f.json)
}

func newCheck(e *env) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check MODEL",
		Short: "Report everything that is wrong with an ONNX model",
		Long: `check prints every fault of a model, one a line, each with the node it is about.
It exits with 0 if there is none and with 1 otherwise. A model that is whole is
then followed through its nodes: attributes and shapes that an operator does not
take, and declared shapes that are not the inferred ones, are faults too. A few
findings differ from those of onnx.checker in full: docs/decisions/commands.md.`,
		Args: args("MODEL"),
		RunE: func(_ *cobra.Command, args []string) error { return f.run(e, args[0]) },
	}
	f.addFlags(cmd.Flags())
	return cmd
}

// checked is what check --json prints.
type checked struct {
	Model  string   `json:"model"`
	Valid  bool     `json:"valid"`
	Faults []string `json:"faults"`
}

func (f *checkFlags) run(e *env, path string) error {
	m, err := e.readUnchecked(path)
	if err != nil {
		return err
	}
	faults := efcn.Check(m)
	if f.json {
		report := checked{path, len(faults) == 0, []string{}}
		for _, fault := range faults {
			report.Faults = append(report.Faults, fault.Error())
		}
		if err := printJSON(e.out, report); err != nil {
			return err
		}
	} else {
		for _, fault := range faults {
			fmt.Fprintln(e.out, oneLine(fault))
		}
		if len(faults) == 0 {
			fmt.Fprintf(e.out, "%s: valid: %d nodes\n", path, len(m.Graph.Nodes))
		}
	}
	if len(faults) > 0 {
		return errNo
	}
	return nil
}
