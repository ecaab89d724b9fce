package efcn_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn"
	"efcn/convert"
	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/onnxio"
)

const lenet = "testdata/models/lenet-torchscript/model.onnx"

// images are labelled images of testdata, normalised as those that lenet was trained on.
const images = "idx:testdata/fashion-mnist/train-images-10k-idx3-ubyte.gz," +
	"testdata/fashion-mnist/train-labels-10k-idx1-ubyte.gz?normalize=0.2860/0.3530&limit=500"

// TestOutside builds and runs a program of another module: what it uses of this one
// is exported, and its go.mod and go.sum are up to date, or it would not build.
func TestOutside(t *testing.T) {
	program := filepath.Join(t.TempDir(), "outside.exe")
	build := exec.Command("go", "build", "-mod=readonly", "-o", program, ".")
	build.Dir = filepath.Join("testdata", "outside")
	build.Env = append(os.Environ(), "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	dir := t.TempDir()
	got, err := exec.Command(program, "testdata", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	want, err := os.ReadFile("testdata/outside/output.txt")
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(string(want), "\r\n", "\n"); string(got) != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
	for _, name := range []string{"efcn.onnx", "tuned.onnx"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestFiles goes the whole way on files: each step takes what the one before wrote.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	out, tuned, cnn := filepath.Join(dir, "efcn.onnx"), filepath.Join(dir, "tuned.onnx"), filepath.Join(dir, "cnn.onnx")
	plan, err := efcn.Convert(t.Context(), lenet, out, convert.Options{})
	if err != nil || plan.Coverage.Embedded != 3 {
		t.Fatalf("plan %+v (%v)", plan, err)
	}
	report, err := efcn.Verify(t.Context(), lenet, out, verify.Options{Samples: 4, Engines: []string{"onnx-go"}})
	if err != nil || !report.Equal() || report.Parting != nil {
		t.Fatalf("equal %t (%v)", report.Equal(), err)
	}
	epochs, err := efcn.Train(t.Context(), out, tuned, efcn.Images{Train: images, Test: images},
		finetune.Options{Epochs: 1, Rate: 0.01})
	if err != nil || len(epochs) != 1 || epochs[0].Test == nil || epochs[0].Model != nil {
		t.Fatalf("epochs %+v (%v)", epochs, err)
	}
	metrics, err := efcn.Evaluate(t.Context(), tuned, images)
	if err != nil || metrics != *epochs[0].Test {
		t.Errorf("measured %+v, after training %+v (%v)", metrics, epochs[0].Test, err)
	}
	d, err := efcn.Measure(t.Context(), tuned, lenet)
	if err != nil || d.FromCNN == nil || !(*d.FromCNN >= d.Distance) || !(d.Distance > 0) {
		t.Errorf("deviation %+v (%v)", d, err)
	}
	p, err := efcn.Project(t.Context(), tuned, cnn)
	if err != nil || p.Distance != d.Distance {
		t.Errorf("projected %+v (%v)", p, err)
	}
	if m, err := efcn.Open(cnn); err != nil ||
		!slices.ContainsFunc(m.Graph.Nodes, func(n *onnxio.Node) bool { return n.OpType == "Conv" }) {
		t.Errorf("the nearest CNN has no Conv (%v)", err)
	}
	cut, err := efcn.Compress(t.Context(), tuned, tuned, compress.Options{
		Target: compress.Target{Layout: record.Factored, Rank: 4},
	})
	if err != nil || cut.After >= cut.Before || cut.Layers[0].Layout != record.Factored {
		t.Errorf("compressed %+v (%v)", cut, err)
	}
	if after, err := efcn.Measure(t.Context(), tuned, ""); err != nil || after.Layers[0].Layout != record.Factored ||
		!(after.Distance > 0 && after.Distance < d.Distance) {
		t.Errorf("deviation %+v, before it was compressed %+v (%v)", after, d, err)
	}
}

// TestMeasureWithoutRecord: a trained eFCN whose metadata is gone is as far from its CNN as
// with them, and without that CNN nothing is known.
func TestMeasureWithoutRecord(t *testing.T) {
	dir := t.TempDir()
	trained, bare := filepath.Join(dir, "efcn.onnx"), filepath.Join(dir, "bare.onnx")
	if _, err := efcn.Convert(t.Context(), lenet, trained, convert.Options{Layout: record.Dense}); err != nil {
		t.Fatal(err)
	}
	few := efcn.Images{Train: strings.TrimSuffix(images, "500") + "50"}
	if _, err := efcn.Train(t.Context(), trained, trained, few, finetune.Options{Epochs: 1, Rate: 0.01}); err != nil {
		t.Fatal(err)
	}
	m, err := efcn.Open(trained)
	if err != nil {
		t.Fatal(err)
	}
	m.Metadata = nil
	if err := efcn.Save(t.Context(), bare, m); err != nil {
		t.Fatal(err)
	}
	want, err := efcn.Measure(t.Context(), trained, lenet)
	if err != nil || !(want.Distance > 0) {
		t.Fatalf("deviation %+v (%v)", want, err)
	}
	got, err := efcn.Measure(t.Context(), bare, lenet)
	if err != nil || got.Distance != want.Distance || got.OffLocal != want.OffLocal || *got.FromCNN != *want.FromCNN {
		t.Errorf("deviation %+v (%v)\nwant %+v", got, err, want)
	}
	if _, err := efcn.Measure(t.Context(), bare, ""); !errors.Is(err, record.ErrMissing) {
		t.Errorf("without the CNN: %v", err)
	}
	var open *convert.UnrecognisedError
	if _, err := efcn.Measure(t.Context(), bare, "testdata/models/plain-torchscript/model.onnx"); !errors.As(err, &open) {
		t.Errorf("with another CNN: %v", err)
	}
}

// TestRun: inputs by order, outputs in order, and what does not fit.
func TestRun(t *testing.T) {
	m, err := efcn.Open(lenet)
	if err != nil {
		t.Fatal(err)
	}
	x := onnxio.NewTensor("", []int64{2, 1, 28, 28}, make([]float32, 2*28*28))
	y, err := efcn.Run(t.Context(), m, x)
	if err != nil || len(y) != 1 || y[0].Name != "logits" || !slices.Equal(y[0].Dims, []int64{2, 10}) {
		t.Errorf("outputs %v (%v)", y, err)
	}
	if _, err := efcn.Run(t.Context(), m); err == nil || !strings.Contains(err.Error(), `no array "input"`) {
		t.Errorf("without inputs: %v", err)
	}
}

// TestRefuses: what is refused leaves the files as they were.
func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	cnn := filepath.Join(dir, "cnn.onnx")
	b, err := os.ReadFile(lenet)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cnn, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var overwrite *efcn.OverwriteError
	if _, err := efcn.Convert(t.Context(), cnn, cnn, convert.Options{}); !errors.As(err, &overwrite) || !overwrite.Itself {
		t.Errorf("convert in place: %v", err)
	}
	var budget *convert.BudgetError
	plan, err := efcn.Convert(t.Context(), cnn, filepath.Join(dir, "efcn.onnx"),
		convert.Options{Layout: record.Dense, MaxBytes: 1 << 20})
	if !errors.As(err, &budget) || plan == nil || budget.Need != plan.WeightBytes {
		t.Errorf("over the budget: %v", err)
	}
	if _, err := efcn.Train(t.Context(), cnn, dir, efcn.Images{Train: images}, finetune.Options{}); err == nil ||
		!strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("train into a folder: %v", err)
	}
	m, err := efcn.Open(cnn)
	if err != nil {
		t.Fatal(err)
	}
	m.Graph.Nodes[len(m.Graph.Nodes)-1].Inputs[0] = "nowhere"
	if faults := efcn.Check(m); len(faults) == 0 {
		t.Error("no faults in a model that reads a value that is not there")
	}
	broken := filepath.Join(dir, "broken.onnx")
	if err := efcn.Save(t.Context(), broken, m); err != nil {
		t.Fatal(err)
	}
	var invalid *efcn.InvalidError
	if _, err := efcn.Open(broken); !errors.As(err, &invalid) || len(invalid.Faults) == 0 ||
		!strings.HasPrefix(err.Error(), broken+": not a valid model: ") {
		t.Errorf("opened: %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("files %v (%v); want two", files, err)
	}
	if after, err := os.ReadFile(cnn); err != nil || string(after) != string(b) {
		t.Errorf("the CNN has changed (%v)", err)
	}
}
