// Package finetune trains an ONNX model, a CNN or its eFCN, on labelled samples
// and puts the trained weights back into the same graph.
//
// Call [Train] with a model and the samples, which package data opens:
//
//	model, err := onnxio.Read("efcn.onnx")
//	train, err := data.Open(ctx, "idx:IMAGES,LABELS?normalize=auto")
//	trained, err := finetune.Train(ctx, model, train, nil, finetune.Options{Epochs: 5}, nil)
//	_, err = onnxio.Write("trained.onnx", trained, onnxio.WriteOptions{})
//
// [Options] says how to train and what: everything, a part of an eFCN, or layers by
// name. [Check] tells beforehand what Train would refuse. [Evaluate] measures a
// model, [Logits] returns what it computes, [Reinit] gives it new weights, and
// [Objective] is the loss for those who move the weights in their own way.
//
// # What is computed
//
// The loss is the softmax cross-entropy, averaged over the batch, taken on the
// model's output or, where that is a Softmax, on what goes into it. The
// optimiser is by default plain SGD, w ← w − rate·∂loss/∂w, as d'Ascoli, Sagun,
// Biroli and Bruna use it (arXiv 1906.06766): rate 0.1, batches of 250.
// A run repeats bit for bit from the same seed on the same machine at the same
// number of threads.
//
// # What is trained
//
// Trained are
//   - the weights of Conv, ConvTranspose, Gemm and MatMul (either factor, of any rank)
//     and their biases;
//   - the scale and bias of BatchNormalization, LayerNormalization, RMSNormalization,
//     InstanceNormalization and GroupNormalization;
//   - the slopes of PRelu;
//   - the vectors of an Add or Mul that comes after other weights: the bias of a MatMul,
//     a normalisation written out, a layer scale.
//
// A layer that efcn convert wrote in local form, several nodes, is trained as the one
// layer that it is. Of a matrix that is a sparse constant the stored entries are
// trained, and stay stored. BatchNormalization normalises by its batch and moves its
// running statistics with the momentum of the node, as ONNX defines training mode.
//
// Not trained are scalars, the other constants (of Sub, Div, Pow, Max, Min, Mean, Sum),
// and what is done to the input before the first weight. So are the ones and zeros that
// PyTorch's exporters give the groups of a GroupNorm, which is scaled and shifted after
// them. Dropout passes its input through, and so does a Cast from one floating-point
// type to another, as training computes in one precision.
//
// What moves elements (Pad, Slice, Split, Gather, Where, Tile and their like) does so
// by constants, or by what follows from shapes at the batch of the graph. The
// constants among the elements, such as the value of a Pad or the class token of a
// Concat, stay as they are. The batch may leave the first axis between such
// operators, and has to be back after them. What mixes samples is refused: a reduction,
// a product or a selection over the batch.
//
// Where an operator has no derivative it is given PyTorch's, version 2.15; the files of
// the operators say which (activation.go, function.go, pow.go, prelu.go, reduce.go,
// variadic.go). Floor, Ceil, Round and Sign have the derivative 0 everywhere, so nothing
// before them moves; Hardmax, for the same reason, is refused.
//
// # How it works
//
// An operator is one file, with its layer (forward and backward) and its row in the
// table of registry.go. The graph of the layers is a gorgonia expression graph,
// which gorgonia differentiates and executes; its Ops are our own, over internal/kernel.
// Once the graph is known its memory is planned (memory.go, internal/memplan), so that a
// step allocates no arrays. With plain SGD, where a weight matrix has one reader, its
// update is part of the backward product and its gradient never exists.
package finetune
