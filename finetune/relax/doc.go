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
// [Study.Run] says what it writes: the files of the folder, and the columns of the tables.
package relax
