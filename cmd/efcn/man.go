package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"efcn/internal/atomicfile"
	"efcn/internal/version"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write a manual page for every command",
		Long: `man writes manual pages into the folder DIR, which is made: efcn.1, and one for every
command, such as efcn-convert.1. "man -l DIR/efcn-convert.1" shows one; those in a
folder man1 of $MANPATH are found by name.`,
		Args: args("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o777); err != nil {
				return err
			}
			return writeManual(cmd.Root(), args[0])
		},
	}
}

// writeManual writes the pages of a command and of those under it.
func writeManual(cmd *cobra.Command, dir string) error {
	if cmd.Hidden || cmd.Name() == "help" {
		return nil
	}
	build := version.Read()
	header := &doc.GenManHeader{Section: "1", Source: "efcn " + build.Version, Manual: "efcn"}
	if commit, err := time.Parse(time.RFC3339, build.Date); err == nil {
		header.Date = &commit // a page of one commit is the same whenever it is made
	}
	cmd.DisableAutoGenTag = true
	path := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
	if err := atomicfile.Write(path, func(w io.Writer) error { return doc.GenMan(cmd, header, w) }); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if err := writeManual(c, dir); err != nil {
			return err
		}
	}
	return nil
}
