// Package data opens labelled images for training and evaluation.
//
// Call [Open] with a specification, as the --data flag of the commands has it:
//
//	idx:IMAGES,LABELS    two IDX files (MNIST, Fashion-MNIST), gzipped or not
//	npz:FILE             a NumPy archive with the arrays x and y
//
// and options after a question mark, separated by &:
//
//	normalize=MEAN/STD   (pixel-MEAN)/STD; with commas one value per channel
//	normalize=auto       the mean and standard deviation of this set, per channel
//	normalize=none       the pixels as they are (default)
//	layout=nchw|nhwc     where the channel axis is (default nchw)
//	limit=N              the first N samples only
//
// Integer pixels of 8 bits are divided by 255 first, so MEAN and STD are those
// of pixels between 0 and 1; floating-point pixels are taken as they are.
//
// A test set has to be normalised by the figures of the training set: its own
// would shift it. [OpenTest] takes them from there for normalize=auto; for a
// set that is opened alone, [Set.Mean] and [Set.Std] of the training set are
// what to give as normalize=MEAN/STD.
package data
