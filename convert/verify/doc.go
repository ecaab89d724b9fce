// Package verify proves that an eFCN computes what the CNN it was made from
// computes, or shows where they part.
//
// Start with [Verify]. [Report.Equal] is the verdict, [Report.FirstDifference] where the
// two part; the [Report] has a line per layer and the first fault of every kind besides, and
// [Report.WriteText] prints it.
//
// # What each check proves
//
// Structure: every stored entry of every embedded layer equals, bit for bit,
// what the CNN's parameters and attributes say, and nothing else is stored; the
// nodes between the layers are the CNN's, wired as in the CNN. This holds for
// all inputs. The geometry is worked out here from the ONNX operator pages, from
// the side of the column (does a tap lead from this output to this input?),
// and shares no code with the converter, which works from the side of the row.
// Of the record that the eFCN carries, only the names of values are used: where
// it is wrong, something is found missing. A layer with a BatchNormalization
// multiplied in holds float32(float64(K)·scale), scale = gamma/√(var+epsilon) in
// float64; its bias may be either of two neighbours where the sum in float64 is
// too close to the middle between them to tell.
//
// A factored layer has the local form, of which all this is shown, and adds U·V·x. After
// a conversion U is zero; V may be anything finite (factoredform.go).
//
// A layer that is a product of operators is multiplied out again from the factors
// that the record names, and its entries may be either of two neighbours in the
// same way (product.go). The levels of a maximum made of Relu are made again, and a
// proof on sets of inputs shows that they compute it (maximum.go).
//
// What follows from declared shapes alone is computed by each model's own nodes at
// several sizes of the batch, and compared where it is taken (fromshapes.go).
//
// What an operator selects (Slice, Pad, DepthToSpace, …) is worked out from its page
// (indexmap.go), a nearest Resize in exact fractions (nearest.go).
// An interpolation's weights may be one rounding off: see resizeMatrix.
//
// Float64: both models run in double precision, end to end and layer by layer.
// This is what finds faults of the graph that no list of parameters shows, and
// those in code that both models share with the converter, at a resolution far
// below a float32. The eFCN is compared with the CNN whose parameters are
// rounded as the eFCN stores them (products with a BatchNormalization, 1/n of
// averages); the structure check proves that they are stored so.
//
// Float32: both models run as a runtime would run them. Layer by layer, the
// eFCN's nodes are given the activations of the CNN: a value that is computed in
// the same operations has to be equal exactly, a linear layer within the bound
// on the rounding of both sums, 2γ_n(|A||x| + |b|). End to end, the bounds add up
// through the layers; that total is rigorous but grows with depth, so it is the
// layers that carry the proof: if all of them hold, so does their composition.
//
// No bound is tuned. They are derived where they are computed (bounds.go), from
// the unit roundoff, the number of terms, and magnitudes that the CNN's own
// parameters and activations give.
//
// Other engines: with [Options.Engines], both files also run in ONNX Runtime or
// onnx-go, and the outputs are compared between engines, within the bound that they
// have end to end in float32; where none holds in every engine, a tolerance judges.
//
// # What is shared with the converter
//
// Verify reads every attribute for itself, from the operators' pages, and shares no index
// arithmetic with the converter, the engine or shape inference: a fault of one of them shows
// here. What the checks know of an operator is one row of a table (operator.go), which is
// filled in the operator's own file; an operator that is added touches no other.
//
// Both fold the constant part of a model with constants.Fold, so the two
// could be wrong together there; the engine's tests against reference outputs
// of other frameworks are what speaks for it. Both read files with onnxio, and
// take the shapes of values from its shape inference.
//
// # Two arbitrary models
//
// A second model without a record can be anything with as many inputs and
// outputs: the CNN after an optimiser, another export of it, an edited copy.
// Inputs and outputs are matched by name, and where names differ by order, if
// types and shapes fit. Structure is then skipped. Parameters may have been
// multiplied together and rounded once to float32 on the way, so every operator
// with constants is allowed one such rounding in each model.
//
// Values in between are matched by what they are, not by what they are called:
// two of one size that agree in double precision on all samples, within that
// bound, are one value (match.go). What follows a value that both have is bounded
// from there on. The outputs decide; where they differ, [Report.Parting] names
// the last values that agree, the first that do not, and the nodes between
// (parting.go).
package verify
