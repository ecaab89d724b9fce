// Package convert turns a trained CNN into its equivalent fully-connected
// network, the eFCN of d'Ascoli, Sagun, Biroli and Bruna, "Finding the Needle
// in the Haystack with Convolutions" (arXiv 1906.06766).
//
// Start with [NewPlan]. The [Plan] says what would become of every node and what it
// would cost, before any matrix is built. [Plan.CheckBudget] compares that with what
// the options allow, and [Plan.Model] returns the eFCN as an ONNX model whose matrices
// are generated while it is written. Package record reads what an eFCN says of itself,
// package restore turns it back into a CNN, package verify proves the two equal.
//
// # What becomes of a node
//
// A value of the CNN, without its batch axis, is a vector in the eFCN. What mixes the
// elements of a vector becomes a matrix (Gemm). What does not stays cheap: a diagonal
// is Mul and Add, a permutation is Gather, a reshape is free. Activations and joins of
// branches work on vectors as they do on tensors. What is neither linear nor
// elementwise, such as MaxPool, is kept on a reshaped tensor, and [Plan.Kept] says
// why. Nothing is approximated: an attribute or shape that is not understood is an
// error. docs/operators.md lists what becomes of each operator.
//
// A Pad in front of a Conv, AveragePool or MaxPool becomes the padding of that operator
// where that is the same function; [AbsorbPads] says where it is.
//
// # Layouts
//
// A matrix has one of the forms of [record.Layout]: dense, sparse, local, which stores
// the support only, or factored: local, with U·V of a low rank added ([Options.Rank]),
// U = 0 at first, which reaches all of the matrix in training. [record.Auto] leaves the
// choice between dense and local to [Options.For] and the budget. [Options.Fold]
// multiplies neighbouring linear operators into one matrix, and [Options.MaxPool] makes
// matrices and Relu of maxima; docs/products.md has the mathematics of both.
package convert
