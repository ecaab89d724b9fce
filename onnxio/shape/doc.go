// Package shape infers the element type and the shape of every value of a
// model, and the contents of the small integer vectors that shapes are
// computed from.
//
// Start with [Infer]. [Info.Type] then answers for any value by name,
// [Info.Ints] for the content of shape vectors, and [Info.Unknown] lists the
// nodes that could not be followed. What no rule of this package follows is
// computed by [Options.Evaluate]. [ResolveWindow], [ConvWindow] and
// [PoolWindow] resolve the geometry of convolutions and poolings (auto_pad,
// ceil_mode, defaults) to explicit numbers; [Info.Pad], [Info.Slice], [Info.Resize] and
// [Info.ReduceAxes] read what other nodes take, as attributes or as inputs.
//
// A dimension is a number, a name, or unknown. Inside, every integer is a
// monomial, a number times a product of symbols, and every dimension that is
// not known has a symbol of its own. That is enough for what exporters write:
// Shape, Gather, Unsqueeze, Concat and Reshape carry "batch" through, and
// (64·batch)/64 is batch again. A symbol is taken to be a size that is not 0,
// as exporters take it.
//
// What a model declares (value_info, outputs) is merged with what is inferred:
// each fills in what the other leaves open, and two different numbers for one
// dimension are an error. Operators that are not known, or in a version that
// is not, leave their outputs as declared.
//
// Each operator is one file, or shares one with its family, and registers
// itself in a table that is sealed when the program starts. Attributes are read
// here for convert too; internal/engine and convert/verify, which check what convert
// makes, read them for themselves.
package shape
