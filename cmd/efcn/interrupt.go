package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// interruption says what is kept of a command that err ended when it was interrupted.
// Where something failed besides, as the saving of a run may, that is all there is to say.
func (e *env) interruption(cmd *cobra.Command, err error) string {
	var failed error
	walk(err, func(e error) {
		switch any(e).(type) {
		case interface{ Unwrap() error }, interface{ Unwrap() []error }:
			return
		}
		if failed == nil && !errors.Is(e, context.Canceled) {
			failed = e
		}
	})
	switch output := cmd.Flags().Lookup("output"); {
	case failed != nil:
		return ": " + oneLine(err)
	case e.kept != nil:
		return e.kept()
	case output != nil && output.Value.String() != "" && output.Value.String() != "-":
		return fmt.Sprintf("; %s is not written", output.Value)
	}
	return ""
}

// commandLine is a line that a shell takes, with quotes where they are needed.
func commandLine(args []string) string {
	line := "efcn"
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " ?&*'\"\\$()<>|;#`~!{}[]\t\n") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		line += " " + a
	}
	return line
}

// counted is a number of things: "1 run", "3 runs".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
