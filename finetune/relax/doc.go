// Package relax runs the protocol of d'Ascoli, Sagun, Biroli and Bruna,
// "Finding the Needle in the Haystack with Convolutions" (arXiv 1906.06766,
// NeurIPS 2019), as a study that is kept in a folder.
//
// Fill in a [Study], a CNN and images, and call [Study.Run] with a folder; called
// again it goes on where it was stopped. [Study.Estimate] tells beforehand what that
// will take, [Read] reads the folder of a study, finished or not, and package report
// makes a page of it.
//
// # The protocol
//
// For every seed a CNN is trained for Options.CNNEpochs epochs and kept at the
// relax times. At each of them it is embedded: converted to its eFCN, every
// matrix dense unless Options.Layout says factored. (A dense matrix of a net the size
// of ResNet-18 may take hundreds of gigabytes; its local form with a product of thin
// matrices beside it does not.) The eFCN is trained on for as many epochs as the CNN was
// (Options.Train.Epochs), with the same settings; the epochs before the embedding are
// not counted in, so that all relax times get the same number after it. The order of the
// samples follows from the seed and the number of the epoch within the run, so that
// epoch 1 of every run of a seed sees the samples in the same order.
//
// Beside them, unless the layout is factored, the standard fully-connected network of
// the same architecture is trained for the same number of epochs: the eFCN with all of
// its weights newly initialised, as PyTorch initialises Linear by default. Options.With
// adds more runs at every relax time, of which each trains a part of the eFCN, or all of
// it in factored form of some rank. Seeds differ in the order of the samples, in the
// initialisation of the fully-connected network and, with Options.Reinit, in that of the
// CNN. Instead of a CNN that is trained, CNNs can be given, one for each relax time.
//
// # BatchNormalization
//
// The CNN trains with its BatchNormalizations, by the statistics of each batch. At the
// embedding they become what they compute at inference: a scale and a shift of every
// channel by the running statistics. Behind a Conv or Gemm these are multiplied into the
// matrix and the bias; the eFCN has no normalisation any more, as the nets of the paper
// have none from the start, and d, s and the nearest CNN are those of kernel·scale. With
// Options.NoFoldBN, and where there is no matrix in front, they stay beside it as Mul and
// Add of one scale and shift for every output. These train too, each by itself; d and s
// are of the kernel as the CNN has it, and the nearest CNN keeps the Mul and Add that
// training came to. No eFCN normalises by the statistics of a batch.
//
// # Memory
//
// One run is in memory at a time: its weights once, the samples, and the
// activations of a batch. With plain SGD over all weights that was 1.4 times the
// weights of the paper's eFCN (bench/step/README.md). A momentum takes them twice
// more, Adam three times, Local, OffLocal and Tied once: the gradient, and what
// the optimiser keeps. [Study.Estimate] holds the weights as a run does.
//
// # The folder
//
//	settings.json           what the study is: Settings
//	results.csv             a row for every run, and for every CNN that was embedded
//	summary.csv             mean and standard deviation of those over the seeds
//	epochs.csv              a row for every run and epoch, from 0, which is the start
//	layers.csv              the same for every embedded layer
//	report.html             all of it on a page (written by the command: package report)
//	plots/                  its curves, each as SVG and as PNG (written by the command: package report)
//	seed-S/cnn/             the run of the CNN
//	seed-S/fcn/             the run of the fully-connected network
//	seed-S/efcn-T/          the run of the eFCN relaxed at epoch T
//	seed-S/factored-R-T/    the same in factored form of rank R
//	seed-S/KIND-T/          a run that Options.With added: elcn-T, local-T, off-local-T, tied-T
//	cnn/                    the CNNs, where they were given
//
// The folder of a run holds
//
//	start.onnx              the model that it begins with
//	model.onnx              the model that it ended with
//	projected.onnx          the CNN nearest to that; of an eFCN
//	epoch-T.onnx            the model after T epochs; of a CNN, at the relax times
//	metrics.jsonl           a line of finetune.EpochMetrics for every epoch
//	events.out.tfevents.efcn
//	                        the same for TensorBoard
//	run.json                what came of it: Result; written last, so a run that has it is finished
//	run.checkpoint          the state of a run that is not finished
//
// A run that is finished is never done again; one that is not goes on at its
// checkpoint and ends with the bits that it would have ended with. What is
// written is written whole or not at all. A run whose loss stops being finite is
// finished, with Result.Failed saying where, and has no model.onnx; the others
// go on.
//
// # The tables
//
// They are comma-separated with a header. A field is empty where there is nothing
// to say. Accuracies and shares are between 0 and 1, losses are mean
// cross-entropies in nats, norms are Euclidean. What is called best is chosen
// by the accuracy on the test set, and therefore no estimate of how well a model
// generalises; final is not chosen.
//
// results.csv:
//
//	run                     folder of the run
//	file                    the model that final_test_loss and final_test_top1 are of
//	kind                    cnn, fcn, efcn, factored-R, elcn, local, off-local, tied; snapshot: the CNN at a relax time
//	seed                    empty where the CNNs were given and the row is of one of them
//	relax_epoch             epochs that the CNN had been trained for; empty for cnn and fcn
//	weight_bytes            of all weights that the run began with; empty in a snapshot
//	epochs                  epochs of this run
//	start_test_loss, start_test_top1
//	                        before its first epoch: of the CNN that was embedded, or of new weights
//	final_train_loss, final_train_top1
//	                        of its last epoch, measured as it went on
//	final_test_loss, final_test_top1
//	                        after its last epoch
//	best_test_top1, best_epoch
//	                        the greatest after any epoch from 1, and the first that has it
//	distance                d = ‖W − P(W)‖/‖W‖, the deviation from the CNN subspace: record.Deviation
//	off_local               s = ‖W_off‖/‖W‖, the share outside the support
//	travelled               ‖W − W₀‖/‖W₀‖ over the embedded matrices, W₀ being what the run began with
//	entries, support        of the embedded matrices: their size, and how much of it is support
//	nonzero, nonzero_local  entries that are not zero, and those of them in the support
//	projected_test_loss, projected_test_top1
//	                        of projected.onnx
//	seconds                 of training, without measurements
//	failed                  why the run has no result
//
// summary.csv:
//
//	kind, relax_epoch       as above
//	runs                    how many seeds ended with a result
//	X_mean, X_sd            mean and standard deviation (of a sample: n − 1) over them, X being
//	                        start_test_top1, final_test_top1, best_test_top1, final_train_loss,
//	                        distance, off_local, travelled, projected_test_top1; sd is empty for one run
//
// epochs.csv:
//
//	run, kind, seed, relax_epoch
//	epoch                   of the run; 0 is the start
//	time                    relax_epoch + epoch: epochs since the CNN began
//	rate                    the learning rate of the last step
//	train_loss, train_top1, test_loss, test_top1, test_top5
//	distance, off_local, travelled, nonzero, nonzero_local
//	gradient_local, gradient_off_local
//	                        norms of the loss's gradient inside and outside the support of the
//	                        embedded matrices, trained or not, at the last step of the epoch and
//	                        before clipping; of factored ones that of the local weights is inside
//	seconds
//
// layers.csv:
//
//	run, kind, seed, relax_epoch, epoch, time
//	layer, op               name and operator in the CNN
//	norm, distance, off_local, bias_distance, travelled, nonzero, nonzero_local
//	gradient_local, gradient_off_local
package relax
