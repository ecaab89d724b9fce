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
// The loss is the softmax cross-entropy, averaged over the batch, taken on the
// model's output or, where that is a Softmax, on what goes into it. The optimiser is by
// default plain SGD, as d'Ascoli, Sagun, Biroli and Bruna use it (arXiv 1906.06766): rate
// 0.1, batches of 250. A run repeats bit for bit from the same seed on the same machine at
// the same number of threads. [Train] says which weights are trained.
//
// An operator is one file, with its layer (forward and backward) and its row in the
// table of registry.go. The graph of the layers is a gorgonia expression graph,
// which gorgonia differentiates and executes; its Ops are our own, over internal/kernel.
// Once the graph is known its memory is planned (memory.go, internal/memplan), so that a
// step allocates no arrays. With plain SGD, where a weight matrix has one reader, its
// update is part of the backward product and its gradient never exists.
package finetune
