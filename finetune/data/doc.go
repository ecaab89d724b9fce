// Package data opens labelled images for training and evaluation.
//
// Call [Open] with a specification of the images, such as
// "folder:train?resize=224x224&normalize=imagenet", and [OpenTest] with that of the
// images to test on. Open documents the kinds of files and the options.
//
// What a training reads is a [Set]: samples of one shape in memory or, where they are too
// many or change from epoch to epoch, streamed as they are taken. A test set has to be
// normalised by the figures of the training set: its own would shift it. OpenTest takes
// them from there for normalize=auto; for a set that is opened alone, [Set.Mean] and
// [Set.Std] of the training set are what to give as normalize=MEAN/STD.
package data
