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
//
// A Pad in front of a Conv, AveragePool or MaxPool becomes the padding of that
// operator where that is the same function; [AbsorbPads] says where it is. The layer
// is then one of a kernel with pads, which is measured and projected as such, and no
// vector has the zeros. The record says nothing of the Pad, and [Project] writes the
// operator with its pads.
//
// # Products
//
// With [Options.Fold] neighbouring linear operators are multiplied into one layer.
// Two are neighbours if the value between them has one reader and is no output of
// the graph; operators that only change a shape do not part them, and nothing that
// the outputs do not depend on counts as a reader (the nodes that compute the shape
// for a Reshape, for example). Factors can be
//
//   - matrices: Conv, ConvTranspose, AveragePool, GlobalAveragePool, ReduceMean,
//     Resize and Upsample (linear), Gemm, MatMul, and the affine maps that a
//     maximum is made of, below;
//   - diagonals: BatchNormalization, unless Options.NoFoldBN; Neg; Add, Sub, Mul and
//     Div of one value and one float32 constant (not constant/value, nor a division
//     by zero);
//   - selections: Pad, Slice, Split, Transpose, DepthToSpace, SpaceToDepth, Resize
//     and Upsample (nearest); a Pad with a constant other than 0 has it for a bias.
//
// An operator that is kept is no factor. A Conv, ConvTranspose or Gemm and the
// BatchNormalization right behind it count as one operator, as they do without
// Fold: if nothing else joins them the layer is that of a Conv, in a record of
// version 1.
//
// FoldAuto compares operations: non-zeros of a matrix (the support: geometry, not
// values), and one for every element that a diagonal or selection computes. It cuts
// each chain into the pieces that need fewest, found by dynamic programming, and
// leaves apart what gains nothing. FoldAll makes one piece of each chain. A piece in
// which there is no matrix stays what it is.
//
// The factors A₁x + b₁, A₂x + b₂, … of a piece, in the order in which they are
// applied, are taken in float64 as the CNN has them, with nothing rounded in
// between: kernels; 1/n for an average; gamma/√(var+epsilon) and beta − mean·scale
// for a normalisation; 1/c for a division by c; alpha·B, and then beta·C as a
// diagonal of its own where beta is not 1; the weights of a linear Resize. The
// matrix is Aₙ⋯A₂A₁, made row by row from the last factor: the row of Aₙ is
// multiplied by Aₙ₋₁, the result by Aₙ₋₂, and so on, where each entry is
//
//	Σ_j fl(r[j]·A[j,c])  over the columns j in the support of the row r so far,
//	                     ascending, with c in the support of row j of A
//
// added up in float64 from +0. At the end it is rounded to float32, once. The
// support of the product is what those sums run over: columns that can be reached,
// zeros of kernels and cancellations included. The bias is t with t = b₁ and then
// t ← Aₖt + bₖ, the sum of a row in ascending order of columns, in float64 from +0,
// b added last, and one rounding to float32 at the end; there is none if no factor
// has one. Rows are generated as they are written, in parallel; what is held are
// vectors.
//
// A product is stored in every layout:
//
//   - dense and sparse as any layer, W [out, in];
//   - local with the same nodes as any layer: weights [G, P, O, S], a table [P, S] of
//     int64, row (g·O + o)·P + p of the matrix at [g, p, o], and slot s there for
//     column g·(in/G) + table[p, s], or no column where that is in/G, the zero behind
//     the block. A position sees the union of what its channels read, ascending,
//     with slots that see the zero at the end. G, P and O are those that take the
//     fewest bytes of some that suggest themselves: they need not be the channels
//     and positions of the output, and P may be all rows.
//
// # Maxima
//
// With MaxPoolRelu a MaxPool, GlobalMaxPool or ReduceMax is written as levels of an
// affine map and a Relu, and one map at the end:
//
//	x → A₁ → Relu → A₂ → Relu → … → Aₗ
//
// by max(a,b) = relu(a−b) + b. What is added, b, has to pass through the Relu: as
// relu(b) where the input of the node cannot be negative, else as
// relu(b) − relu(−b). The input cannot be negative if it comes from a Relu, or a
// Clip whose min is a constant of 0 or more, through nothing but selections, changes
// of shape, Concat, averages and maxima, and a Pad with nothing negative.
//
// The axes are done one after another, the last first. Along an axis every output
// index starts with the list of input indices in its window, ascending, those in the
// padding left out. A level puts neighbours of each list together, first and second,
// third and fourth, and so on, into max(a,b); one that is left over is passed on, as b is.
// What several windows need is made once. Units before the Relu are thus a−b, b, and
// −b if values can be negative; they are numbered in the order in which the windows
// first need them: for each pair a−b, then b, then −b. When every list has one
// element the next axis is done. The sums that give the values of a level are
// multiplied into the differences of the next, or into the last map, whose rows are
// the outputs. All coefficients are small whole numbers, and products exact. A
// level leaves the other axes as they are. An axis whose windows have one cell costs
// no level, and a node with no other is a selection.
//
// In exact arithmetic this is the maximum, for finite inputs. In float32 rows are
// sums of up to 4 units, 6 where values can be negative, and in Aₗ of 2 or 3. With M
// the largest magnitude in a window, a Relu level takes the maximum at most 8γ₄M, or
// 18γ₆M, further from the exact one, and Aₗ 2γ₂M, or 3γ₃M, where γₙ = n·u/(1−n·u) and
// terms of the order of u² are left out: every value is a sum of 2 or 3 units, each
// rounded within γₙ times the magnitudes it adds up, and a maximum of what is off
// is off by no more.
//
// If fold allows, A₁ is multiplied into the layer before, and Aₗ into the one behind.
//
// # The record
//
// The eFCN carries a [Record] of its layers. A layer that is a product or part of
// a maximum has [LayerRecord.Factors], innermost first: for each the ONNX operator,
// the label of the CNN's node and the value that this computes in the CNN; of part
// of a maximum Level k of Levels l as well, counted from 1, for Aₖ. A factor's input
// is the output of the one before, through changes of shape only; that of the first
// is the input 0 of its node (the one that is no constant), or for Aₖ with k > 1 the
// Relu of Aₖ₋₁. A layer with one factor is part of a maximum by itself: its Op is
// that of the node, its Node the node's label and /levelk, and its Source the value
// that the node computes. One with more has the Op Product, and Node and Source of
// the first factor that has weights, or else of the first matrix. Output names the
// value that the layer computes: one of the CNN, or for Aₖ with k < l the eFCN's
// own, called as the value of the node in the CNN with /levelk behind it, and a
// number if that is taken; the Relu behind it computes that name with /relu. Their
// units are laid out as InputShape and OutputShape say.
//
// A record with factors has version 2, any other version 1. A layer with factors
// has no kernel and so no CNN subspace: [Measure] and [Project] leave it as it is
// and say so, its support is not exported, and training keeps no mask for it.
package convert
