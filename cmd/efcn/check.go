package main

import (
	"fmt"

	"github.com/spf13/cobra"

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

func newCheck(e *env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check MODEL",
		Short: "Report everything that is wrong with an ONNX model",
		Long: `check prints every fault of a model, one a line, each with the node it is about.
It exits with 0 if there is none and with 1 otherwise. A model that is whole is
then followed through its nodes: attributes and shapes that an operator does not
take, and declared shapes that are not the inferred ones, are faults too. A few
findings differ from those of onnx.checker in full: docs/decisions/commands.md.`,
		Args: args("MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := e.readUnchecked(args[0])
			if err != nil {
				return err
			}
			faults := efcn.Check(m)
			if asJSON {
				report := struct {
					Model  string   `json:"model"`
					Valid  bool     `json:"valid"`
					Faults []string `json:"faults"`
				}{args[0], len(faults) == 0, []string{}}
				for _, f := range faults {
					report.Faults = append(report.Faults, f.Error())
				}
				if err := printJSON(e.out, report); err != nil {
					return err
				}
			} else {
				for _, f := range faults {
					fmt.Fprintln(e.out, oneLine(f))
				}
				if len(faults) == 0 {
					fmt.Fprintf(e.out, "%s: valid: %d nodes\n", args[0], len(m.Graph.Nodes))
				}
			}
			if len(faults) > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
