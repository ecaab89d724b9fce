package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"efcn/finetune"
	"efcn/finetune/data"
)

type demoFlags struct {
	output string // Default demo-out.
}

func (f *demoFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&f.output, "output", "o", "demo-out", "folder for the models that are made")
}

func newDemo(e *env) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole path on a CNN and images that come with the program",
		Long: `demo takes a CNN that PyTorch trained on Fashion-MNIST through all the steps:
inspect, convert, verify, finetune, measure, report. It prints each command before
running it, and in the end how often each model is right on 2,000 test images. It
reads the testdata folder of the repository, so it runs inside a clone. The run of
an earlier demo in the folder is replaced.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), e)
		},
	}
	f.addFlags(cmd.Flags())
	return cmd
}

func (f *demoFlags) run(ctx context.Context, e *env) error {
	testdata, err := findTestdata()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.output, 0o777); err != nil {
		return err
	}
	e.kept = func() string { return fmt.Sprintf("; %s has what was finished", f.output) }
	images := func(images, labels string) string {
		folder := filepath.Join(testdata, "fashion-mnist")
		return fmt.Sprintf("idx:%s,%s?normalize=0.2860/0.3530", filepath.Join(folder, images), filepath.Join(folder, labels))
	}
	var (
		cnn   = filepath.Join(testdata, "models", "lenet-torchscript", "model.onnx")
		efcn  = filepath.Join(f.output, "efcn.onnx")
		tuned = filepath.Join(f.output, "efcn-tuned.onnx")
		run   = filepath.Join(f.output, "run")
		train = images("train-images-10k-idx3-ubyte.gz", "train-labels-10k-idx1-ubyte.gz") + "&limit=1500"
		test  = images("test-images-2k-idx3-ubyte.gz", "test-labels-2k-idx1-ubyte.gz")
	)
	if err := os.RemoveAll(run); err != nil {
		return err
	}
	for _, step := range [][]string{
		{"inspect", cnn},
		{"convert", cnn, "-o", efcn},
		{"verify", cnn, efcn},
		{
			"finetune", efcn, "--data", train, "--test", test, "-o", tuned, "--epochs", "3", "--lr", "0.01",
			"--checkpoint", run, "--checkpoints", "log:2",
		},
		{"measure", tuned, "--cnn", cnn},
		{"report", run, "-o", filepath.Join(f.output, "report.html")},
	} {
		if err := e.show(ctx, step); err != nil {
			return err
		}
	}
	return e.printAccuracies(ctx, test, []namedFile{
		{"the CNN", cnn},
		{"its eFCN", efcn},
		{"the eFCN fine-tuned", tuned},
	})
}

// namedFile is a model file and what demo calls it.
type namedFile struct{ what, path string }

// printAccuracies prints how often each model is right on a test set. The models are
// read from the files, as anybody else would read them.
func (e *env) printAccuracies(ctx context.Context, test string, models []namedFile) error {
	set, err := data.Open(ctx, test)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, m := range models {
		model, err := e.readModel(m.path)
		if err != nil {
			return err
		}
		metrics, err := finetune.Evaluate(ctx, model, set, 0)
		if err != nil {
			return inFile(m.path, err)
		}
		r := measure(metrics)
		rows = append(rows, []string{
			m.what, fmt.Sprintf("%.2f %%", 100*r.Top1), fmt.Sprintf("%d of %d", r.Correct, r.Samples),
			formatLoss(float64(r.Loss)), m.path,
		})
	}
	fmt.Fprint(e.out, "\nOn the test images, each model as its file has it:\n\n")
	printTable(e.out, []string{"model", ">accuracy", ">right", ">loss", "file"}, rows)
	return nil
}

// show prints a command line and runs it.
func (e *env) show(ctx context.Context, args []string) error {
	fmt.Fprintf(e.out, "\n$ %s\n", commandLine(args))
	sub := &env{in: e.in, out: e.out, err: e.err, args: args}
	root := newRoot(sub)
	root.SetArgs(append(args, "--threads", strconv.Itoa(e.threads),
		"--quiet="+strconv.FormatBool(e.quiet), "--verbose="+strconv.FormatBool(e.verbose)))
	return root.ExecuteContext(ctx)
}

// findTestdata returns the testdata folder of the repository that the working
// directory is in.
func findTestdata() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for up := ""; ; up = filepath.Join("..", up) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module efcn\n") {
			return filepath.Join(up, "testdata"), nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no testdata here; run it inside a clone of the repository")
		}
		dir = parent
	}
}
