package convert

import (
	"fmt"

	"efcn/convert/record"
	"efcn/onnxio"
)

// OtherTypeError says that no linear layer can be embedded, because their data are
// of a floating-point type that is not embedded.
type OtherTypeError struct {
	Node string // the first such layer
	Op   string
	Type onnxio.DataType
}

func (e *OtherTypeError) Error() string {
	return fmt.Sprintf("node %q (%s): its data are %s, and only float32 is embedded; "+
		"converted as a whole to float32, which rounds the weights, it would be", e.Node, e.Op, e.Type)
}

// AlreadyError reports a model that is an eFCN: it carries the record of a conversion.
type AlreadyError struct{}

func (*AlreadyError) Error() string {
	return fmt.Sprintf("it is an eFCN already (metadata %q); convert the CNN it came from, or project it back first",
		record.Key)
}

// BudgetError says that a plan needs more bytes than Options.MaxBytes allows.
type BudgetError struct {
	Need, Allowed int64
	Local         int64  // about what it would need with every matrix in local form
	Largest       *Layer // the layer that needs most
}

func (e *BudgetError) Error() string {
	text := fmt.Sprintf("the eFCN needs %d bytes of weights, more than the %d allowed", e.Need, e.Allowed)
	if e.Largest != nil {
		text += fmt.Sprintf(" (node %q alone: a %d×%d matrix, %s, %d bytes)", e.Largest.Node, e.Largest.Rows,
			e.Largest.Cols, e.Largest.Layout, e.Largest.bytesIn(e.Largest.Layout))
	}
	return text
}

// OpenShapeError says that a shape is not known because the model leaves it open. With
// the shape of its input given, in Options.InputShapes, it is.
type OpenShapeError struct {
	Input string // "" where it may be any
	Axis  int    // the dimension of the input that is not a number, -1 for all of them
	// Batch is the size of the first axis, which was taken for the batch, -1 where that
	// is open too. Options.BatchAxes may say that the batch is another axis.
	Batch int64
	Why   string
}

func (e *OpenShapeError) Error() string { return e.Why }

// MaximumError says why a maximum cannot be made of matrices and Relu, as it was asked
// to be. It can be kept, by Options.Layers.
type MaximumError struct {
	Node string
	Err  error
}

func (e *MaximumError) Error() string { return "a maximum as matrices and Relu: " + e.Err.Error() }

func (e *MaximumError) Unwrap() error { return e.Err }
