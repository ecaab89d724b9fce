// Package convert turns a trained CNN into its equivalent fully-connected
// network, the eFCN of d'Ascoli, Sagun, Biroli and Bruna, "Finding the Needle
// in the Haystack with Convolutions" (arXiv 1906.06766).
//
// Start with [NewPlan], which says what would become of every node and what it
// would cost without building a matrix, and then [Plan.Model], which returns
// the eFCN as an ONNX model whose matrices are generated while it is written.
//
// # The mathematics
//
// On an input of fixed shape every linear operator with constant coefficients
// is an affine map y = A·vec(x) + b, where vec lays a tensor out in row-major
// order without its batch axis. A [Map] describes A once, as the coefficients
// that the output positions take from the input positions; rows, non-zeros and
// counts are all read off that description.
//
// The entry of a convolution with kernel K is
//
//	A[(o,p), (c,q)] = K[o, c−g(o)·C/G, t]  where  q = p·stride + t·dilation − pad_begin
//
// if q lies inside the input, and nothing otherwise. No pair of a row and a
// column is reached by two taps, so the entries are kernel values bit for bit.
//
// # What becomes of a node
//
// What mixes inputs becomes a matrix (Gemm). What does not stays cheap: a
// diagonal is Mul and Add on the vector, a permutation is Gather, a reshape is
// free. Activations and joins of branches work on vectors as they do on
// tensors. What is neither linear nor elementwise, such as MaxPool, is kept on
// a reshaped tensor, and [Plan.Kept] says why. Nothing is approximated: an
// attribute or shape that is not understood is an error.
package convert
