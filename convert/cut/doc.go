// Package cut makes the model of one rank, where several compute one network together
// and none holds a whole matrix.
//
// Start with [Model]. A rank's model is an ONNX model like any other: its large layers
// have fewer rows, weights are ranges of those of the whole model and are read when they
// are asked for, and two operators of [onnxio.RanksDomain] join what the ranks compute.
// [Part.Slices] says which ranges, [Part.Layers] and [Part.Gathers] what each layer and
// each exchange take.
//
// # What is cut
//
// A Gemm or MatMul of vectors by a constant matrix, dense or sparse, and the local and
// factored layers of an eFCN, from [Options.Least] bytes of weights on, by rows. Rank r
// of p has the output channels C·r/p to C·(r+1)/p of the layer's record: a channel is a
// run of rows. Without a record each row is a channel. A layer in several groups is cut
// at groups, where its stored form has groups: in local, factored and sparse form. Of a
// factored layer V is cut by its own rows, too, if it has as many as there are ranks, and
// V·x is gathered.
//
// What follows a cut layer is computed on its rows alone as long as it works by channels:
// functions of one element, operations with a vector, which is cut with it, or with what
// is cut alike, BatchNormalizations, poolings of each channel, changes of shape that keep
// the channels together. In front of anything else an AllGather joins the parts, and in
// front of an output of the model.
//
// Anything else is whole, on every rank: convolutions, small layers, layers of fewer rows
// than ranks, a sparse matrix of which a rank would have no entry, and weights that two
// nodes need in different ways. [Layer.Whole] says why.
package cut
