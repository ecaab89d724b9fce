// Package verify proves that an eFCN computes what the CNN it was made from
// computes, or shows where they part.
//
// Start with [Verify]. [Report.Equal] is the verdict, [Report.FirstDifference] where the
// two part; the [Report] has a line per layer and the first fault of every kind besides, and
// [Report.WriteText] prints it.
//
// Three checks prove it. [Structure]: every stored entry of every embedded layer is, bit
// for bit, what the CNN's parameters and attributes say, and the nodes between the layers
// are the CNN's, wired as in the CNN; this holds for all inputs. [Float64] and [Float32]:
// both models run in double and in single precision, end to end and layer by layer, and
// differ by no more than bounds that are derived, never tuned (bounds.go). With
// [Options.Engines] both run in other engines too. docs/verification.md says what each
// check proves and what it does not.
//
// A proof shares no code with what it proves: verify reads every attribute for itself,
// from the operators' pages, and shares no index arithmetic with the converter, the engine
// or shape inference. What it does share are the files (onnxio), the shapes of values
// (onnxio/shape), and the folding of constants (internal/constants), which the engine's
// tests compare with other frameworks. Of the record that an eFCN carries it takes names.
//
// Two arbitrary models can be compared as well: see [Verify].
package verify
