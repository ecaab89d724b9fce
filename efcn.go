// Package efcn is the front door of this module: it turns a trained CNN into its
// equivalent fully-connected network, the eFCN, proves the two equal, and trains
// the eFCN with all of its weights free.
//
// Start with [Convert], [Verify] and [Train], one call each on files of ONNX:
//
//	plan, err := efcn.Convert(ctx, "cnn.onnx", "efcn.onnx", convert.Options{})
//	report, err := efcn.Verify(ctx, "cnn.onnx", "efcn.onnx", verify.Options{})
//	fmt.Println(plan.WeightBytes, report.Equal())
//	images := efcn.Images{Train: "folder:train", Test: "folder:test"}
//	epochs, err := efcn.Train(ctx, "efcn.onnx", "trained.onnx", images, finetune.Options{Epochs: 1})
//
// [Open] and [Save] are for what is in between, on a model in memory:
// [convert.NewPlan] says what a conversion would do and cost, [convert.Plan.Model]
// makes the eFCN, [finetune.Train] trains it. The commands of cmd/efcn are made of
// the same calls.
//
// Nothing here prints, reads flags or keeps state. Matrix products run on as many
// threads as GOMAXPROCS allows. Outputs appear when they are complete, and only
// then replace an older file.
package efcn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"efcn/convert"
	"efcn/convert/affine"
	"efcn/convert/compress"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/arrays"
	"efcn/internal/atomicfile"
	"efcn/internal/constants"
	"efcn/internal/engines"
	"efcn/internal/kernel"
	"efcn/onnxio"
	"efcn/onnxio/shape"
)

// Open reads the ONNX model in the file at path and refuses one that is not valid,
// with an [*InvalidError]. Large weights stay in their files, which no handle is
// kept of, and are read from there when they are asked for.
func Open(path string) (*onnxio.Model, error) {
	m, err := onnxio.Read(path)
	if err != nil {
		return nil, err
	}
	return valid(m)
}

// OpenFrom is Open for a stream, which cannot have external data.
func OpenFrom(r io.Reader) (*onnxio.Model, error) {
	m, err := onnxio.ReadFrom(r)
	if err != nil {
		return nil, err
	}
	return valid(m)
}

func valid(m *onnxio.Model) (*onnxio.Model, error) {
	if faults := unjoin(m.Check()); len(faults) > 0 {
		return nil, &InvalidError{Path: m.Path, Faults: faults}
	}
	return m, nil
}

// InvalidError reports a file that can be read and is no valid ONNX model.
type InvalidError struct {
	Path   string // "" for a stream
	Faults []error
}

func (e *InvalidError) Error() string {
	text := fmt.Sprintf("not a valid model: %v", e.Faults[0])
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if more := len(e.Faults) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Unwrap returns the faults.
func (e *InvalidError) Unwrap() []error { return e.Faults }

// Check returns everything that is wrong with a model: what Open refuses and, where
// that is nothing, attributes and shapes that an operator does not take, declared
// shapes that are not the inferred ones, and domains that are not imported.
func Check(m *onnxio.Model) []error {
	if faults := unjoin(m.Check()); len(faults) > 0 {
		return faults
	}
	inlined, err := m.Inline()
	if err == nil {
		err = shape.Check(inlined, shape.Options{Evaluate: constants.Evaluate})
	}
	return unjoin(errors.Join(m.CheckImports(), err))
}

// unjoin returns the errors that errors.Join put together, in order.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, unjoin(err)...)
	}
	return all
}

// Save writes a model to the file at path, with the defaults of
// [onnxio.WriteContext]: external data for what would pass 2 GiB.
func Save(ctx context.Context, path string, m *onnxio.Model) error {
	_, err := onnxio.WriteContext(ctx, path, m, onnxio.WriteOptions{})
	return err
}

// Convert writes the eFCN of the CNN at path to output, and returns the plan that it
// followed. A plan over the budget of the options is returned with a
// [*convert.BudgetError], and nothing is written.
func Convert(ctx context.Context, path, output string, o convert.Options) (*convert.Plan, error) {
	cnn, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := CheckOutput(output, cnn, false); err != nil {
		return nil, err
	}
	plan, err := convert.NewPlan(cnn, o)
	if err != nil {
		return nil, inFile(path, err)
	}
	efcn, err := plan.Model()
	if err != nil {
		return plan, inFile(path, err)
	}
	return plan, Save(ctx, output, efcn)
}

// Verify compares the CNN and the eFCN in two files, or any two models whose inputs
// and outputs match: see [verify.Verify]. That they differ is in the report, which
// [verify.Report.Equal] and [verify.Report.FirstDifference] ask, and no error. Without
// Options.Open the engines are those of [Engines].
func Verify(ctx context.Context, cnnPath, efcnPath string, o verify.Options) (*verify.Report, error) {
	cnn, err := Open(cnnPath)
	if err != nil {
		return nil, err
	}
	efcn, err := Open(efcnPath)
	if err != nil {
		return nil, err
	}
	if o.Open == nil {
		o.Open = Engines{}.Open
	}
	return verify.Verify(ctx, cnn, efcn, o)
}

// Measure returns how far training took the eFCN at path from the CNN subspace and,
// if cnnPath is not "", from the CNN there that it was made from. By that CNN the layers
// of an eFCN that has lost its record are recognised; without it the error is
// [record.ErrMissing], and if some cannot be told apart, a [*convert.UnrecognisedError]:
// [convert.Recognise] takes names for those.
func Measure(ctx context.Context, path, cnnPath string) (*record.Deviation, error) {
	efcn, err := Open(path)
	if err != nil {
		return nil, err
	}
	var origin map[string]*affine.Map
	if cnnPath != "" {
		cnn, err := Open(cnnPath)
		if err != nil {
			return nil, err
		}
		rec, err := record.Read(efcn)
		switch {
		case err != nil:
		case rec == nil:
			efcn, origin, _, err = convert.Recognise(efcn, cnn, nil)
		default:
			origin, err = convert.Embedding(efcn, cnn)
		}
		var of *convert.CNNError
		if errors.As(err, &of) {
			return nil, inFile(cnnPath, of.Err)
		}
		if err != nil {
			return nil, inFile(path, err)
		}
	}
	d, err := record.Measure(ctx, efcn, origin)
	return d, inFile(path, err)
}

// Project writes the CNN that is nearest to the eFCN at path to output, and returns
// how far the two are apart.
func Project(ctx context.Context, path, output string) (*record.Deviation, error) {
	efcn, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := CheckOutput(output, efcn, true); err != nil {
		return nil, err
	}
	cnn, d, err := restore.Project(ctx, efcn)
	if err != nil {
		return nil, inFile(path, err)
	}
	return d, Save(ctx, output, cnn)
}

// Compress writes the eFCN at path to output, which may be the same file, in the layouts
// of the options, and returns what became of every layer. A result over the budget is
// returned with a [*compress.BudgetError], and nothing is written.
func Compress(ctx context.Context, path, output string, o compress.Options) (*compress.Report, error) {
	efcn, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := CheckOutput(output, efcn, true); err != nil {
		return nil, err
	}
	compressed, report, err := compress.Compress(ctx, efcn, o)
	if err != nil {
		return report, inFile(path, err)
	}
	return report, Save(ctx, output, compressed)
}

// Images names labelled images, in the form that [efcn/finetune/data] describes.
type Images struct {
	Train string
	Test  string // "" for none
}

// Train trains the model at path, a CNN or an eFCN, writes it to output, which may be
// the same file, and returns what each epoch came to.
func Train(ctx context.Context, path, output string, images Images, o finetune.Options) ([]finetune.Epoch, error) {
	m, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := CheckOutput(output, m, true); err != nil {
		return nil, err
	}
	if err := atomicfile.Check(output); err != nil {
		return nil, err
	}
	train, test, err := data.OpenBoth(ctx, images.Train, images.Test)
	if err != nil {
		return nil, err
	}
	var epochs []finetune.Epoch
	trained, err := finetune.Train(ctx, m, train, test, o, func(e finetune.Epoch) error {
		e.Model = nil // it ends with this call
		epochs = append(epochs, e)
		return nil
	})
	if err != nil {
		return epochs, inFile(path, err)
	}
	return epochs, Save(ctx, output, trained)
}

// Evaluate measures the model at path on the labelled images that spec names.
func Evaluate(ctx context.Context, path, spec string) (finetune.Metrics, error) {
	m, err := Open(path)
	if err != nil {
		return finetune.Metrics{}, err
	}
	set, err := data.OpenTest(ctx, spec, nil)
	if err != nil {
		return finetune.Metrics{}, err
	}
	metrics, err := finetune.Evaluate(ctx, m, set, 0)
	return metrics, inFile(path, err)
}

// Run computes the outputs of a model, in the graph's order, in the embedded engine
// in float32. Inputs are taken by name, or in order where they have no names.
func Run(ctx context.Context, m *onnxio.Model, inputs ...*onnxio.Tensor) ([]*onnxio.Tensor, error) {
	matched, err := arrays.Match(m.Graph, inputs)
	if err != nil {
		return nil, err
	}
	s, err := Engines{}.Open(ctx, engines.Embedded, m)
	if err != nil {
		return nil, err
	}
	outputs, err := s.Run(ctx, matched)
	return outputs, errors.Join(err, s.Close())
}

// Engines opens models in the engines that there are: "embedded", "onnxruntime" and
// "onnx-go".
type Engines struct {
	// Library is the shared library of ONNX Runtime. Default "": the one that the
	// environment variable EFCN_ORT names, that of an active Python environment, or
	// the system's.
	Library string
}

// Open makes a model ready in the engine of that name, as [verify.Options] wants it.
// A model that was changed after it was read has to have its Path cleared: ONNX
// Runtime reads the file again.
func (e Engines) Open(ctx context.Context, engine string, m *onnxio.Model) (verify.Session, error) {
	s, err := engines.Options{Library: e.Library, Threads: kernel.Threads()}.Open(ctx, engine, m)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// CheckOutput returns an [*OverwriteError] if writing to path would replace a file
// that holds weights of m or, unless inPlace, the file of m itself.
func CheckOutput(path string, m *onnxio.Model, inPlace bool) error {
	if !inPlace && sameFile(m.Path, path) {
		return &OverwriteError{Path: path, Itself: true}
	}
	for _, file := range m.DataFiles() {
		if sameFile(file, path) {
			return &OverwriteError{Path: path}
		}
	}
	return nil
}

// OverwriteError reports an output that would replace what it is made from.
type OverwriteError struct {
	Path   string
	Itself bool // the model's file, else one with its weights
}

func (e *OverwriteError) Error() string {
	if e.Itself {
		return e.Path + " is the CNN itself, without which the eFCN cannot be verified; write another file"
	}
	return e.Path + " holds weights of the model that is read; write another file"
}

// sameFile reports whether two paths name one file that exists.
func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// inFile puts the name of a file in front of an error about it.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}
