// Package onnxio reads, checks and writes ONNX models.
//
// Start with [Read], which loads a file, [Model.Check], which reports all that
// is wrong with a model, and [Write], which writes a model so that a reader of
// the path sees the old file or the whole new one, never a part.
//
// A [Model] holds everything its file held. What this package has no field for
// stays attached to the message it came in and is written back, so a program
// that changes one node changes nothing else.
//
// Weights are [Data]: bytes in memory, a region of a file, or a function that
// produces them when they are written. Writing streams them, so the memory
// needed does not grow with the size of the output. [FloatBlocks], [IntBlocks] and
// [SparseBlocks] read them as a stream too; [Floats] and [Ints] read all of them.
//
// [Graph.Links] tells which nodes make and read each value; [Graph.Ancestors],
// [Graph.Prune], [Graph.Names] and [Model.Inline] are what a program that changes
// a graph needs besides.
//
// This is the only package of the program that knows protobuf.
package onnxio
