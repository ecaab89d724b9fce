// Package record reads what an eFCN says of itself, and measures its matrices.
//
// Start with [Read]: the [Record] lists the layers that were embedded, each with the
// operator it was, its geometry, and the tensors it is stored in. [Open] returns the
// [Matrix] of one layer in whatever layout the model stores it, to export or to read
// row by row; [Layer.Support] rebuilds the geometry, which says which of its entries
// the operator reaches and which of them are tied; [Measure] says how far all layers
// are from the CNN subspace.
//
// # The format
//
// The record is the JSON document in the entry "efcn" ([Key]) of the model's
// metadata_props. Its fields are those of [Record] and [Layer].
//
// A layer that is a product or part of a maximum has [Layer.Factors], innermost
// first: for each the ONNX operator, the label of the CNN's node and the value that
// this computes in the CNN; of part of a maximum Level k of Levels l as well, counted
// from 1, for its map Aₖ (docs/products.md). A factor's input is the output of the
// one before, through changes of shape only; that of the first is the input 0 of its
// node (the one that is no constant), or for Aₖ with k > 1 the Relu of Aₖ₋₁. A layer
// with one factor is part of a maximum by itself: its Op is that of the node, its
// Node the node's label and /levelk, and its Source the value that the node computes.
// One with more has the Op Product, and Node and Source of the first factor that has
// weights, or else of the first matrix. Output names the value that the layer
// computes: one of the CNN, or for Aₖ with k < l the eFCN's own, called as the value
// of the node in the CNN with /levelk behind it, and a number if that is taken; the
// Relu behind it computes that name with /relu. Their units are laid out as
// InputShape and OutputShape say.
//
// A layer with factors has no kernel and so no CNN subspace: [Measure] leaves it out
// and says so, its support is not exported, and training keeps no mask for it.
//
// A record is written as the lowest version that has what is in it: 1; 2 with
// factors; 3 with the shape of a constant factor; 4 with the type that the CNN was
// converted to, or the batch axes of its inputs; 5 with a layer whose layout is
// factored, and so with Rank, Left and Right.
package record
