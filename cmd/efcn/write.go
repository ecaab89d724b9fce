package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/internal/atomicfile"
	"efcn/onnxio"
)

// outputFlags are those of a command that writes a model, or prints JSON.
type outputFlags struct {
	output   string
	external oneOf // Default auto.
	json     bool
}

func (f *outputFlags) addFlags(flags *pflag.FlagSet) {
	addOutputFlag(flags, &f.output)
	f.external = choice(onnxio.ExternalAuto, onnxio.ExternalAuto, onnxio.ExternalAlways, onnxio.ExternalNever)
	flags.Var(&f.external, "external-data", "weights in a file of their own beside the model")
	addJSONFlag(flags, &f.json)
}

func (f *outputFlags) validate() error {
	if err := oneOnStdout(f.output, f.json); err != nil {
		return err
	}
	if f.output == "-" && f.external.value == string(onnxio.ExternalAlways) {
		return usagef("--external-data always: beside stdout there is no place for a file of weights; want -o FILE")
	}
	return nil
}

// results returns where the text of a command goes whose output goes to path:
// beside an output on stdout there is room for no other.
func (e *env) results(path string) io.Writer {
	if path == "-" {
		return e.err
	}
	return e.out
}

// aside returns where text goes that is no result: what is planned, how an epoch ended,
// what was written. With -q it goes nowhere.
func (e *env) aside(path string) io.Writer {
	if e.quiet {
		return io.Discard
	}
	return e.results(path)
}

// writeOutput writes a file, or to stdout if path is "-". Of several ranks the first does.
func (e *env) writeOutput(path string, write func(w io.Writer) error) error {
	if !e.first() {
		return nil
	}
	if path == "-" {
		return inFile("stdout", write(e.out))
	}
	return atomicfile.Write(path, write)
}

// oneOnStdout refuses a document and another result that both want stdout.
func oneOnStdout(path string, asJSON bool) error {
	if path == "-" && asJSON {
		return usagef("-o - and --json both write to stdout; use one")
	}
	return nil
}

// noStdout refuses a - for an output that cannot go to stdout: a folder, or a file
// beside the result.
func noStdout(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.String() != "-" || err != nil {
			return
		}
		switch f.Name {
		case "output":
			switch cmd.Name() {
			case "compress", "convert", "finetune", "interpolate", "measure", "project", "report", "run":
				return
			}
			err = usagef("-o -: this output cannot go to stdout; want a name")
		case "checkpoint", "plot", "save-inputs", "save-outputs":
			err = usagef("--%s -: this output cannot go to stdout; want a name", f.Name)
		}
	})
	return err
}

// written is what a command wrote.
type written struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	DataPath  string `json:"external_data,omitempty"`
	DataBytes int64  `json:"external_data_bytes,omitempty"`
}

func (w *written) String() string {
	text := fmt.Sprintf("wrote %s (%s)", w.Path, formatBytes(w.Bytes))
	if w.DataPath != "" {
		text += fmt.Sprintf(" and %s (%s)", w.DataPath, formatBytes(w.DataBytes))
	}
	return text
}

// writeModel writes m to path, or to stdout if path is "-". An interrupt ends
// the writing of a large model, and leaves no file, as an error does.
func (e *env) writeModel(ctx context.Context, path string, m *onnxio.Model, o onnxio.WriteOptions) (*written, error) {
	if path == "-" {
		n, err := onnxio.WriteTo(interruptible(ctx, e.out), m)
		return &written{Path: "stdout", Bytes: n}, inFile("stdout", err)
	}
	w, err := onnxio.WriteContext(ctx, path, m, o)
	if err != nil {
		return nil, inFile(path, err)
	}
	return &written{Path: w.Path, Bytes: w.Bytes, DataPath: w.DataPath, DataBytes: w.DataBytes}, nil
}

// interruptible returns a writer to w that fails once ctx is done.
func interruptible(ctx context.Context, w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return w.Write(p)
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
