// Package data opens labelled images for training and evaluation.
//
// Call [Open] with a specification of the images, and [OpenTest] with that of the
// images to test on:
//
//	idx:IMAGES,LABELS    two IDX files (MNIST, Fashion-MNIST), gzipped or not
//	npz:FILE             a NumPy archive with the arrays x and y
//	cifar10:DIR          the folder of the binary or the Python version of CIFAR-10,
//	                     or the folder that torchvision was told to keep it in
//	cifar100:DIR         the same of CIFAR-100
//	folder:DIR           a folder that has a folder of PNG or JPEG images for each class
//	parquet:FILE-OR-DIR  Parquet files as Hugging Face stores images
//
// and options after a question mark, separated by &:
//
//	normalize=MEAN/STD   (pixel-MEAN)/STD; with commas one value per channel
//	normalize=imagenet   the same with the figures of torchvision's models of ImageNet:
//	                     0.485,0.456,0.406/0.229,0.224,0.225
//	normalize=auto       the mean and standard deviation of this set, per channel
//	normalize=none       the pixels as they are (default)
//	layout=nchw|nhwc     where the channel axis is in x of an archive, and is put
//	                     for the other kinds (default nchw)
//	limit=N              the first N samples only
//	shift=N              each image moved once by a fixed random offset, see below
//	shift-seed=S         the seed of these offsets (default 0)
//	resize=HxW           each image resized to H rows of W pixels, see below
//	resize=N             each image resized so that its shorter side has N pixels
//	crop=centre:N        the N×N pixels in the middle of each image; also HxW for N
//	crop=random:N        another part of each image in every epoch, of random size,
//	                     shape and place, resized to N×N pixels; also HxW for N
//	flip                 half of the images mirrored in every epoch, drawn anew
//	channels=3           of folders and Parquet files: grey images get three channels, too, and CMYK
//	                     becomes red, green and blue
//	skip-bad             of the same: images that cannot be read are left out of the
//	                     set and listed in [Set.Skipped]; all are read for that
//	split=train|test     of CIFAR: data_batch_1.bin to data_batch_5.bin or
//	                     test_batch.bin; train.bin or test.bin; the same names without
//	                     .bin in the Python version. Of a folder of Parquet files:
//	                     those whose names begin with train; with test, or else
//	                     validation. The default is train with [Open] and test with
//	                     [OpenTest]
//	memory=BYTES         a set of more, 4 bytes a pixel and channel, before or after it
//	                     is resized, is streamed (500MB, 8GB; default 4294967296)
//	image=NAME           of Parquet files: the column of images, structs with bytes
//	label=NAME           and the one of classes, integers. The default is the column
//	                     called image or label, or the only one that can be
//	labels=fine|coarse   of CIFAR-100: the 100 classes (default) or the 20 superclasses
//
// Integer pixels of 8 bits are divided by 255 first, those of 16 by 65,535, so
// MEAN and STD are those of pixels between 0 and 1; floating-point pixels are
// taken as they are.
//
// Images are shifted first, then resized, then cropped, then normalised;
// normalize=auto measures what it is applied to. shift=N moves sample i of the set, counted from
// 0 and whatever the limit, down and right by two integers between -N and N: the
// first two that Go's rand.New(rand.NewPCG(S, i)) gives as IntN(2N+1)-N, down
// first. What moves in is 0. resize=HxW makes pixels of means where an axis shrinks
// by a whole factor; otherwise it is bilinear, and when shrinking antialiased, as
// Pillow's BILINEAR is.
//
// crop=centre is torchvision's CenterCrop, but that an image smaller than the window
// is refused. crop=random is its RandomResizedCrop at the default scale and ratio: the
// distribution is the same, the random numbers are not. What is drawn follows from the
// seed of the training, the epoch and the sample. Where nothing is drawn, because a
// model is measured on its training images, it takes the greatest part in the middle
// that has the ratio. Neither crop=random nor flip is for a test set.
//
// A set with crop=random, and one with more pixels than memory allows, are
// streamed ([Set.Streamed]): images are read, decoded and transformed
// whenever they are taken, on all threads, and training makes the next batch while a
// step goes on. What comes out is the same to the bit. Memory holds two batches and an
// image a thread. With crop=random images of files need not be of one size. IDX, CIFAR
// and NumPy files are read where the pixels lie in them (numpy.savez, not
// savez_compressed; float32 or uint8). Compressed ones are read whole, and refused where
// memory= is given and is too little. With crop=random, or where resizing makes more of
// them than memory allows, they are held in memory as they were read, unless they are
// more than that. A streamed folder is opened without a look at any but the first image,
// unless normalize=auto or skip-bad want one; a damaged one ends the training when it is
// taken.
//
// The images of a folder are grey or in colour, all of them, and of one size
// unless they are resized or cropped, or channels=3. Classes count from 0 in the order of the names of their
// folders; samples are taken from each class in turn, in the order of the names of
// their files, so that the first N have all classes alike. Names with a leading
// dot are passed over; any other file that is no image is refused.
//
// An image of a Parquet file is one of PNG or JPEG in the field bytes; one that is only
// named by its path is refused. Classes are as many as the metadata of Hugging Face
// name. To
// stream an image is to read the page that it is in and, where the file has no page
// index, the pages before that in its row group. Files of small row groups (Hugging Face's
// have 100 images), or of small pages with an index (pyarrow: write_batch_size=8,
// write_page_index=True), are quickest.
//
// The Python version of CIFAR is a Python pickle, which may hold any code. It is
// read without Python by a reader that knows the few opcodes of such a file and
// executes nothing; anything else in there is refused.
//
// A test set has to be normalised by the figures of the training set: its own
// would shift it. [OpenTest] takes them from there for normalize=auto; for a
// set that is opened alone, [Set.Mean] and [Set.Std] of the training set are
// what to give as normalize=MEAN/STD.
package data
