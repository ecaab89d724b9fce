package onnxio

// RanksDomain is the domain of the operators with which ranks that compute parts of one
// model exchange values. They are in models that convert/cut makes, and in no file.
const RanksDomain = "efcn.ranks"

// The operators of RanksDomain, in its version 1. Backward is what a training does with
// the gradient at the output; sums are taken in the order of the ranks.
const (
	// AllGather(x) joins what the ranks have along axis 1, in their order. The attribute
	// sizes has the length of that axis on each rank. Backward a rank takes its own
	// slice of the gradient; where the attribute partial is 1 (default 0), each rank has
	// a part of a sum there, and gets its own slice of the sum.
	AllGather = "AllGather"
	// Spread(x) is x, which every rank has whole. Backward it is the sum of the gradients
	// of all ranks, each of which has a part.
	Spread = "Spread"
)

// ranksSchemas are the signatures of those operators.
var ranksSchemas = map[string]*OpSchema{
	AllGather: {
		Domain: RanksDomain, Name: AllGather, SinceVersion: 1,
		MinInputs: 1, MaxInputs: 1, MinOutputs: 1, MaxOutputs: 1, MostInputs: 1,
		Attributes: []AttributeSchema{{"partial", AttrInt, false}, {"sizes", AttrInts, true}},
	},
	Spread: {
		Domain: RanksDomain, Name: Spread, SinceVersion: 1,
		MinInputs: 1, MaxInputs: 1, MinOutputs: 1, MaxOutputs: 1, MostInputs: 1,
	},
}
