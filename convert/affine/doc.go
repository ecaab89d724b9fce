// Package affine describes linear layers by their geometry: affine maps
// y = A·vec(x) + b, where vec lays a tensor out in row-major order without its batch
// axis.
//
// Start with a [Map]: the coefficients that output positions take from input
// positions, which [Taps] lists. [ConvTaps], [ConvTransposeTaps], [AverageTaps],
// [Reduction] and [MatMul] are the geometries of the ONNX operators of these names.
// Rows, non-zeros and counts of A are read off that description, and no matrix is
// stored: [Map.WriteDense], [Map.WriteValues] and [Map.Local] generate what a file
// holds while it is written.
//
// The entry of a convolution with kernel K is
//
//	A[(o,p), (c,q)] = K[o, c−g(o)·C/G, t]  where  q = p·stride + t·dilation − pad_begin
//
// if q lies inside the input, and nothing otherwise. No pair of a row and a column is
// reached by two taps, so the entries are kernel values bit for bit.
//
// A [Product] is several maps one after another: each a [Factor], which is a Map, a
// [Diagonal] or a [Selection] of elements. Its rows are multiplied out, in float64,
// when they are asked for. docs/products.md says how, and how it is rounded.
package affine
