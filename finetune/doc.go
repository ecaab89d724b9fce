// Package finetune trains an ONNX model, a CNN or its eFCN, on labelled samples
// and puts the trained weights back into the same graph.
//
// Start with [Train]; [Evaluate] measures a model.
//
// The loss is the softmax cross-entropy, averaged over the batch, taken on the
// model's output or, where that is a Softmax, on what goes into it. The
// optimiser is by default plain SGD, w ← w − rate·∂loss/∂w, as d'Ascoli, Sagun,
// Biroli and Bruna use it (arXiv 1906.06766): rate 0.1, batches of 250.
//
// Trained are the weights of Conv, ConvTranspose, Gemm and MatMul (either factor,
// of any rank), their biases, the scale and
// bias of BatchNormalization, LayerNormalization, RMSNormalization,
// InstanceNormalization and GroupNormalization, the slopes of PRelu, and the vectors
// of an Add or Mul that lies behind other weights (the bias of a MatMul; a
// normalisation written out; a layer scale).
// Options.Train leaves out some of it. A layer that efcn convert wrote in local
// form, several nodes, is trained as the one layer that it is. Of a matrix that
// is a sparse constant the stored entries are trained, and stay stored.
//
// BatchNormalization normalises by its batch and moves its running statistics
// with the momentum of the node, as ONNX defines training mode. Scalars, other
// constants (of Sub, Div, Pow, Max, Min, Mean, Sum), and what is done to the input
// before the first weight stay as they are. So do the ones and zeros that PyTorch's
// exporters give the groups of a GroupNorm, which is scaled and shifted behind them.
// Dropout passes its input through, and a Cast from one floating-point type to
// another, as training computes in one precision.
//
// What moves elements (Pad, Slice, Split, Gather, Where, Tile and their like) does so
// by constants, or by what follows from shapes at the batch of the graph. The
// constants among the elements, such as the value of a Pad or the class token of a
// Concat, stay as they are. The batch may leave the first axis between such
// operators, and be back behind them. What mixes samples is refused: a reduction, a
// product or a selection over the batch.
//
// Where an operator has no derivative it is given PyTorch's, version 2.15: see
// activation.go, function.go, pow.go, prelu.go,
// reduce.go and variadic.go. Floor, Ceil, Round
// and Sign have the derivative 0 everywhere, so nothing before them moves; Hardmax,
// for the same reason, is refused.
//
// The graph is a gorgonia expression graph, differentiated and executed by
// gorgonia. Its Ops are our own, over internal/kernel, each with a buffer made
// once: a step allocates no arrays. With plain SGD, where a weight matrix has one
// reader, its update is part of the backward product and its gradient never
// exists.
//
// A run repeats bit for bit from the same seed on the same machine at the same
// number of threads.
package finetune
