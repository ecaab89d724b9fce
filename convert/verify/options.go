package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/internal/mpi"
	"efcn/onnxio"
)

// Options say what is compared.
type Options struct {
	// Samples is how many random inputs both models run on, at many scales: normal,
	// uniform, mostly zero, times 1024, divided by 1024, all zero. Default (0) 64; a
	// negative number makes none.
	Samples int
	// Seed makes the random inputs. Default 0.
	Seed uint64
	// Inputs are given inputs, each under the name of the models' input, as many
	// samples of each, with the batch axis. They are run beside the random ones.
	// Default none.
	Inputs []*onnxio.Tensor
	// BatchAxes says of inputs, by name, which axis is the batch, or shape.NoBatch for
	// none. Default what the record of the eFCN says; without it the first axis, as
	// shape.FindBatch finds it.
	BatchAxes map[string]int
	// InputShapes fixes dimensions of inputs that the models leave open, by input
	// name, with the batch axis; −1 leaves the batch free. Default none.
	InputShapes map[string][]int64
	// RTol and ATol are a tolerance that the outputs have to meet:
	// |eFCN − CNN| ≤ ATol + RTol·|CNN|. Default 0 and 0: there is no tolerance,
	// and only the derived bounds decide.
	RTol, ATol float64
	// As is the type that the second model stores its numbers in, Float16 or BFloat16,
	// where the first has a wider one: parameters and the results of nodes may then be
	// rounded to it, which the bounds allow for (narrow.go). What the second model has in that type
	// is rounded after every node. Default (Undefined): both models have the same types.
	As onnxio.DataType
	// Skip names checks to leave out: Structure, Float64, Float32. Default none.
	Skip []string
	// Ran is called with every batch that the float32 check runs: the inputs and
	// what each model made of them, sorted by name, with the batch axis. They are valid
	// during the call. An error from it ends the verification. Default (nil): it is
	// not called.
	Ran func(inputs, cnn, efcn []*onnxio.Tensor) error
	// MaxMemory bounds what running the models may take, in bytes: batches become
	// smaller, and a check that would take more at any size is skipped. Default (0)
	// DefaultMaxMemory.
	MaxMemory int64
	// Engines names engines to compare the outputs in besides the checks: each of
	// them and the embedded one runs both models, and every two are compared; A:B
	// is the first model in A and the second in B. There are "embedded", "onnxruntime"
	// and "onnx-go". Default none.
	Engines []string
	// Open makes a model ready in the engine of that name. It has to be given with
	// Engines, and with models that have nodes which the embedded engine cannot run: each
	// is run in "onnxruntime" then, and the rest as ever. The model must not be modified.
	// Default (nil): such models are refused.
	Open func(ctx context.Context, engine string, m *onnxio.Model) (Session, error)
	// World is the ranks that compare the same two models together: of the structure, each
	// compares the entries of some layers. Rank 0 alone runs the models, and all return its
	// report. Default (nil): this process alone.
	World *mpi.World
	// Batch is how many samples are run at once if the models take any number.
	// Default (0) 32.
	Batch int
	// Progress is called as a check goes on, with its name ("matching" of two models
	// without a record, "engines" of the other engines) and how much of it is done. Default
	// (nil): it is not called.
	Progress func(check string, done, of int)

	whole, unread map[string]bool       // inputs without a batch axis, inputs that no node reads
	given         map[string]*array     // Inputs, by name
	within        map[string][2]float64 // what random numbers for an input are drawn from, by name
	ran           func(inputs, cnn, efcn map[string]*array) error
}

// Validate reports options that make no sense.
func (o Options) Validate() error {
	for _, name := range o.Skip {
		if name != Structure && name != Float64 && name != Float32 {
			return fmt.Errorf("skip: no check is called %q; %s, %s and %s are", name, Structure, Float64, Float32)
		}
	}
	if o.As != onnxio.Undefined && o.As != onnxio.Int8 && narrowOf(o.As) == nil {
		return &NarrowTypeError{o.As}
	}
	if _, err := o.pairs(); err != nil {
		return err
	}
	if len(o.Engines) > 0 && o.Open == nil {
		return errors.New("engines: Open is missing")
	}
	if o.Batch < 0 {
		return fmt.Errorf("batch: %d is negative", o.Batch)
	}
	if o.MaxMemory < 0 {
		return fmt.Errorf("max memory: %d is negative", o.MaxMemory)
	}
	for _, tol := range []float64{o.RTol, o.ATol} {
		if tol < 0 || math.IsNaN(tol) || math.IsInf(tol, 0) {
			return fmt.Errorf("tolerance: want a finite number that is not negative, got %g", tol)
		}
	}
	if o.samples() == 0 && len(o.Inputs) == 0 && (!o.skips(Float64) || !o.skips(Float32)) {
		return errors.New(
			"samples: there are none, and no inputs are given; skip float64 and float32 to check the structure alone")
	}
	return nil
}

func (o *Options) samples() int {
	if o.Samples == 0 {
		return 64
	}
	return max(0, o.Samples)
}

func (o *Options) batch() int {
	if o.Batch == 0 {
		return 32
	}
	return o.Batch
}

func (o *Options) maxMemory() int64 {
	if o.MaxMemory == 0 {
		return DefaultMaxMemory
	}
	return o.MaxMemory
}

func (o *Options) skips(check string) bool { return slices.Contains(o.Skip, check) }

func (o *Options) tolerance() bool { return o.RTol != 0 || o.ATol != 0 }
