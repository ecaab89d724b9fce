package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"

	"efcn/finetune"
	"efcn/internal/mpi"
)

func TestInterruption(t *testing.T) {
	cmd := &cobra.Command{}
	var output string
	addOutputFlag(cmd.Flags(), &output)
	stopped := fmt.Errorf("a.onnx: %w", context.Canceled)
	full := errors.New("no space left")
	kept := func() string { return "; kept" }
	for _, c := range []struct {
		output string
		kept   func() string
		err    error
		want   string
	}{
		{"", nil, stopped, ""},
		{"-", nil, stopped, ""},
		{"b.onnx", nil, stopped, "; b.onnx is not written"},
		{"b.onnx", kept, stopped, "; kept"},
		// What could not be saved is not said to be kept.
		{"b.onnx", kept, errors.Join(stopped, full), ": a.onnx: context canceled; no space left"},
	} {
		output = c.output
		if got := (&env{kept: c.kept}).interruption(cmd, c.err); got != c.want {
			t.Errorf("-o %q, %v: %q; want %q", c.output, c.err, got, c.want)
		}
	}
}

// A run of several ranks goes on under a launcher.
func TestFinetuneKeeps(t *testing.T) {
	f := finetuneFlags{checkpoint: "run"}
	f.epochs = 5
	e := &env{args: []string{"finetune", "a.onnx", "--checkpoint", "run"}}
	line := "efcn finetune a.onnx --checkpoint run --resume"
	want := "; run keeps the run up to here, epoch 2 of 5; go on with: " + line
	if got := f.kept(finetune.Step{Epoch: 2}, e); got != want {
		t.Errorf("%s; want %s", got, want)
	}
	e.world = mpi.Local(2)[0]
	want = "; run keeps the run up to here, epoch 2 of 5; go on under the same launcher, on 2 ranks, with: " + line
	if got := f.kept(finetune.Step{Epoch: 2}, e); got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

func TestCommandLine(t *testing.T) {
	got := commandLine([]string{"finetune", "a b", "--data", "npz:x?limit=3", "", "it's"})
	if want := `efcn finetune 'a b' --data 'npz:x?limit=3' '' 'it'\''s'`; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}
