package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/internal/version"
	"efcn/onnxio"
)

// Exit codes, as scripts may rely on them.
const (
	exitDone        = 0
	exitNo          = 1 // the answer is no: not equal, invalid
	exitBad         = 2 // bad usage or bad input
	exitInterrupted = 130
)

// errNo ends a command whose answer is no, which is on stdout already.
var errNo = errors.New("the answer is no")

// globals are the flags that every command has.
type globals struct {
	quiet   bool // Default false.
	verbose bool // Default false.
	threads int  // Default 0: as many as there are cores.
}

func (g *globals) addFlags(flags *pflag.FlagSet) {
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "results only: no progress, plans, notices or lines about files")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "more detail")
	flags.IntVar(&g.threads, "threads", 0, "cores to use (default all)")
}

// env is what a command has besides its own flags.
type env struct {
	globals
	in  io.Reader
	out io.Writer // results
	err io.Writer // progress, warnings, errors

	world *mpi.World // the ranks that do the command; nil if it is this process alone

	args []string // the command line
	// kept says, of a command that is interrupted, what is kept and what goes on with it;
	// nil where the output alone is to be spoken of.
	kept func() string
}

// notef prints a notice or a warning.
func (e *env) notef(format string, args ...any) {
	if !e.quiet {
		fmt.Fprintf(e.err, format+"\n", args...)
	}
}

// logf prints what only -v asks for.
func (e *env) logf(format string, args ...any) {
	if e.verbose {
		fmt.Fprintf(e.err, format+"\n", args...)
	}
}

// stickyWriter remembers the first failure, so that results which did not get
// out (a full disk behind a redirection) are never taken for done.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "efcn",
		Short: "From a CNN to its fully-connected equivalent and back to ONNX",
		Long: `efcn reads a trained CNN from ONNX, embeds it in fully-connected space, proves
that the result computes the same function, fine-tunes it, and writes it back
to ONNX. Start with: efcn demo`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := noStdout(cmd); err != nil {
				return err
			}
			if e.threads < 0 {
				return usagef("--threads %d; want 0 for all cores, or their number", e.threads)
			}
			cores, err := e.startRanks(cmd)
			if err != nil {
				return err
			}
			kernel.SetThreads(cmp.Or(e.threads, cores))
			return nil
		},
	}
	root.SetVersionTemplate("efcn {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	e.addFlags(root.PersistentFlags())
	for _, cmd := range commands(e) {
		completeFlags(e, cmd)
		cmd.RunE = e.overRanks(cmd.RunE)
		root.AddCommand(cmd)
	}
	return root
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &stickyWriter{w: stdout}
	e := &env{in: stdin, out: out, err: stderr, args: args}
	root := newRoot(e)
	root.SetArgs(withValues(root, args))
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if out.err != nil && (err == nil || errors.Is(err, errNo)) {
		err = fmt.Errorf("stdout: %w", reason(out.err))
	}
	code, message := e.outcome(ctx, cmd, err)
	return e.endRanks(ctx, cmd, code, message)
}

// outcome returns the exit code for what a command returned, and what to print about it.
func (e *env) outcome(ctx context.Context, cmd *cobra.Command, err error) (code int, message string) {
	name := cmd.CommandPath()
	switch {
	case err == nil:
		return exitDone, ""
	case errors.Is(err, errNo):
		return exitNo, ""
	case ctx.Err() != nil || errors.Is(err, context.Canceled): // another rank may have been interrupted
		return exitInterrupted, fmt.Sprintf("%s: interrupted%s", name, e.interruption(cmd, err))
	}
	var usage usageError
	if errors.As(err, &usage) || !cmd.HasParent() {
		return exitBad, fmt.Sprintf("%s: %s; see %s --help", name, oneLine(err), name)
	}
	return exitBad, fmt.Sprintf("%s: %s", name, oneLine(err))
}

// usageError is a mistake on the command line, whose message ends by saying
// where to read on.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// args returns a validator for the arguments of a command, called names.
func args(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, given []string) error {
		if len(given) < len(names) {
			return usagef("%s is missing", strings.Join(names[len(given):], " and "))
		}
		if len(given) > len(names) {
			return usagef("unexpected argument %q", given[len(names)])
		}
		return nil
	}
}

// onFile runs a command that takes one file, after a check of its flags.
func onFile(
	e *env, validate func() error, run func(ctx context.Context, e *env, path string) error,
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if validate != nil {
			if err := validate(); err != nil {
				return err
			}
		}
		return run(cmd.Context(), e, args[0])
	}
}

// validOptions checks what flags were made into.
func validOptions[O interface{ Validate() error }](o O, err error) error {
	if err == nil {
		err = o.Validate()
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// oneLine is the message of err as errors are printed: on one line, with advice on
// what to type, and with the file in front where the operating system names it.
func oneLine(err error) string {
	text := advised(err)
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		text = strings.Replace(text, pathErr.Error(), fmt.Sprintf("%s: %v", pathErr.Path, pathErr.Err), 1)
	case errors.As(err, &linkErr):
		text = strings.Replace(text, linkErr.Error(), fmt.Sprintf("%s: %v", linkErr.New, linkErr.Err), 1)
	}
	return onnxio.PrintableText(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; "))
}

// reason strips the operation and the path from an error of the system.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
