package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/finetune/relax"
	"efcn/internal/engines"
	"efcn/onnxio"
)

// completeFlags makes the shell offer the values of a command's flags.
func completeFlags(e *env, cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		complete := e.completions(cmd, f)
		if complete == nil {
			return
		}
		// It fails for a flag that is not there or was registered before, which none is.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
	})
}

// completions returns what offers the values of a flag, nil for what it cannot know.
func (e *env) completions(cmd *cobra.Command, f *pflag.Flag) cobra.CompletionFunc {
	if values, ok := f.Value.(*oneOf); ok {
		return fixed(values.allowed...)
	}
	if values, ok := valuesOf[f.Name]; ok {
		return fixed(values...)
	}
	switch {
	case f.Name == "train":
		return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return append(trained(), e.layerNames(args)...), cobra.ShellCompDirectiveNoFileComp
		}
	case f.Name == "layer" && cmd.Name() == "export":
		return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return e.layerNames(args), cobra.ShellCompDirectiveNoFileComp
		}
	case f.Name == "layer":
		return e.layerLayouts(cmd)
	}
	return nil
}

// valuesOf are the values of flags that take more than these, or lists.
var valuesOf = map[string][]string{
	"skip":        {verify.Structure, verify.Float64, verify.Float32},
	"engine":      engines.Names(),
	"with":        append(texts(relax.Extras()), "factored-16", "factored-32"),
	"augment":     {"flip", "crop:4", "flip,crop:4"},
	"lr-schedule": {"constant", "step:", "cosine"},
}

func texts[S ~string](values []S) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}

func trained() []string {
	return []string{finetune.TrainAll, finetune.TrainLocal, finetune.TrainOffLocal, finetune.TrainTied}
}

func fixed(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// layerLayouts offers NODE=LAYOUT: the nodes of the model that is named already, and
// behind the equals sign the layouts.
func (e *env) layerLayouts(cmd *cobra.Command) cobra.CompletionFunc {
	layouts := cmd.Flags().Lookup("layout").Value.(*oneOf).allowed
	return func(_ *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var all []cobra.Completion
		if at := strings.LastIndex(text, "="); at >= 0 {
			for _, layout := range layouts {
				all = append(all, text[:at+1]+layout)
			}
			return all, cobra.ShellCompDirectiveNoFileComp
		}
		for _, name := range e.layerNames(args) {
			all = append(all, name+"=")
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// layerNames lists the linear layers of the model that a command line names first; none
// where that cannot be read.
func (e *env) layerNames(args []string) []string {
	if len(args) == 0 || args[0] == "-" {
		return nil
	}
	m, err := e.readModel(args[0])
	if err != nil {
		return nil
	}
	layers := layersOf(m)
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Node
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// layersOf returns the layers of an eFCN, or those that a CNN would have as one.
func layersOf(m *onnxio.Model) []record.Layer {
	if rec, err := record.Read(m); err == nil && rec != nil {
		return rec.Layers
	}
	plan, err := convert.NewPlan(m, convert.Options{})
	if err != nil {
		return nil
	}
	layers := make([]record.Layer, len(plan.Layers))
	for i, l := range plan.Layers {
		layers[i] = l.Layer
	}
	return layers
}
