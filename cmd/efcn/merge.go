package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/finetune/relax"
)

type mergeFlags struct {
	output string
	json   bool
}

func (f *mergeFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&f.output, "output", "o", "", "folder to make; it must not exist or be empty")
	addJSONFlag(flags, &f.json)
}

func newMerge(e *env) *cobra.Command {
	var f mergeFlags
	cmd := &cobra.Command{
		Use:   "merge DIR DIR... -o DIR",
		Short: "Join folders of one study that were made on several machines",
		Long: `merge joins folders of efcn relax that have seeds or kinds of runs of one study each,
made where there is no file system in common, into one: with all runs that are
finished, the tables, the plots and the page. Several processes with a common file
system need no merge; efcn relax --shard shares the runs of one folder out.

Folders whose settings differ in anything but the seeds and --with are refused, with
the names of the settings and both values: learning rate, epochs, relax times, data,
CNN, threads and all the rest. So is a run that two folders have with other results.
The folders stay as they are.`,
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) < 2 {
				return usagef("%s; want two folders or more", counted(len(given), "folder"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.output == "" {
				return usagef("-o DIR is missing")
			}
			return f.run(cmd.Context(), e, args)
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *mergeFlags) run(ctx context.Context, e *env, dirs []string) error {
	folder, err := relax.Merge(ctx, dirs, f.output, func(text string) { e.notef("efcn merge: %s", text) })
	if err != nil {
		return err
	}
	if err := e.writeReport(ctx, f.output); err != nil {
		return err
	}
	summary := relax.Summarise(folder.Results)
	if f.json {
		return printJSON(e.out, studied{f.output, folder.Settings, folder.Results, summary})
	}
	printSummary(e.out, summary, folder.Settings.Seeds)
	if n := len(folder.Missing); n > 0 {
		fmt.Fprintf(e.out, "\n%s not finished, and not in this table\n", counted(n, "run"))
	}
	fmt.Fprintf(e.aside(f.output), "\nwrote %s\n", f.output)
	return nil
}
