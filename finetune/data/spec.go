package data

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// options are what follows the question mark of a specification.
type options struct {
	transform
	limit     int // 0 for all
	nhwc      bool
	test      bool // split
	coarse    bool // labels
	auto      bool
	mean, std []float64 // nil unless given
	flip      bool
	colour    bool // channels=3
	skipBad   bool
	memory    int64  // bytes that samples may take in memory
	image     string // columns of Parquet files; "" for the only ones
	label     string
	given     map[string]bool // the options that the specification names
}

// Open reads the data that spec names to train on. Errors name the file, and the offset
// where one is too short. Cancelling ctx ends it where many images are read.
//
// A specification is one of
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
func Open(ctx context.Context, spec string) (*Set, error) { return open(ctx, spec, nil, false) }

// OpenTest reads the data that spec names to test on: split=test is then the
// default. normalize=auto takes the mean and standard deviation that train was
// normalised with or, if train is nil, those of the set itself.
func OpenTest(ctx context.Context, spec string, train *Set) (*Set, error) {
	return open(ctx, spec, train, true)
}

// OpenBoth reads the training set that train names, as Open does, and the test set
// that test names, as OpenTest does: nil where test is "". Where both are the same
// they are in memory once, unless the kind has a split or something is drawn at random.
func OpenBoth(ctx context.Context, train, test string) (trainSet, testSet *Set, err error) {
	if trainSet, err = Open(ctx, train); err != nil || test == "" {
		return trainSet, nil, err
	}
	drawn := trainSet.Augment != (Augment{}) || trainSet.how.crop.random // which is not for testing
	kind, _, _ := strings.Cut(test, ":")
	if test == train && !drawn && !slices.Contains(optionsOf(kind), "split") { // where the test files are others
		return trainSet, trainSet, nil
	}
	testSet, err = OpenTest(ctx, test, trainSet)
	return trainSet, testSet, err
}

func open(ctx context.Context, spec string, train *Set, test bool) (*Set, error) {
	source, query, _ := strings.Cut(spec, "?")
	kind, rest, ok := strings.Cut(source, ":")
	if !ok {
		return nil, fmt.Errorf("data %q: no kind; want idx:IMAGES,LABELS, npz:FILE, cifar10:DIR, cifar100:DIR, "+
			"folder:DIR or parquet:FILE-OR-DIR",
			spec)
	}
	if rest == "" {
		return nil, fmt.Errorf("data %q: nothing is named after %q", spec, kind+":")
	}
	o, err := parseOptions(kind, query, test)
	if err != nil {
		return nil, fmt.Errorf("data %q: %w", spec, err)
	}
	var s *Set
	switch kind {
	case "idx":
		images, labels, ok := strings.Cut(rest, ",")
		if !ok || images == "" || labels == "" || strings.Contains(labels, ",") {
			return nil, fmt.Errorf("data %q: want two files, idx:IMAGES,LABELS", spec)
		}
		s, err = openIDX(images, labels, o)
	case "npz":
		s, err = openNPZ(rest, o)
	case "cifar10":
		s, err = newCIFAR10().open(rest, o)
	case "cifar100":
		s, err = newCIFAR100(o.coarse).open(rest, o)
	case "parquet":
		s, err = openParquet(ctx, rest, o)
		o.transform = transform{} // done
	case "folder":
		s, err = openFolder(ctx, rest, o)
		o.transform = transform{} // done
	default:
		return nil, fmt.Errorf("data %q: kind %q is not known; idx, npz, cifar10, cifar100, folder and parquet are", spec,
			kind)
	}
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, o, train); err != nil {
		return nil, fmt.Errorf("data %q: %w", spec, err)
	}
	return s, nil
}

// prepare does with the samples of a set that was read what its options say.
func (s *Set) prepare(ctx context.Context, o options, train *Set) error {
	if err := s.validate(ctx); err != nil {
		return err
	}
	s.Augment.Flip = o.flip
	var err error
	if o.crop.random || !o.none() && (s.stored != nil || s.outgrows(o)) {
		err = s.remake(o.transform)
	} else {
		err = s.transform(o.transform)
	}
	if err != nil {
		return err
	}
	return s.normalizeAs(ctx, o, train)
}

// outgrows reports whether transforming the samples makes more of them than memory may
// hold.
func (s *Set) outgrows(o options) bool {
	from, err := s.frame()
	if err != nil {
		return false // which transforming them will name
	}
	to, err := o.after(from)
	return err == nil && o.exceeds(s.N(), to.size())
}

// normalizeAs normalises the set as its options say.
func (s *Set) normalizeAs(ctx context.Context, o options, train *Set) error {
	mean, std := o.mean, o.std
	switch {
	case o.auto && train == nil:
		var err error
		if mean, std, err = s.moments(ctx); err != nil {
			return err
		}
	case o.auto && train.Mean == nil:
		return errors.New("normalize=auto takes the figures of the training set, which was not normalised")
	case o.auto:
		mean, std = train.Mean, train.Std
	}
	if mean == nil {
		return nil
	}
	return s.normalize(mean, std)
}

// optionsOf names the options of each kind of data, in the order of their
// documentation.
func optionsOf(kind string) []string {
	all := []string{"normalize", "layout", "limit", "shift", "shift-seed", "resize", "crop", "flip", "memory"}
	switch kind {
	case "folder":
		all = append(all, "channels", "skip-bad")
	case "parquet":
		all = append(all, "channels", "skip-bad", "split", "image", "label")
	case "cifar10":
		all = append(all, "split")
	case "cifar100":
		all = append(all, "split", "labels")
	}
	return all
}

func parseOptions(kind, query string, forTest bool) (options, error) {
	o := options{test: forTest, memory: defaultMemory, given: make(map[string]bool)}
	if query == "" {
		return o, nil
	}
	for option := range strings.SplitSeq(query, "&") {
		key, value, given := strings.Cut(option, "=")
		if o.given[key] {
			return o, fmt.Errorf("option %q is given twice", key)
		}
		o.given[key] = true
		if known := optionsOf(kind); !slices.Contains(known, key) {
			last := len(known) - 1
			return o, fmt.Errorf("option %q is not known; %s and %s are", key, strings.Join(known[:last], ", "), known[last])
		}
		if err := o.set(key, value, given); err != nil {
			return o, err
		}
	}
	if o.given["shift-seed"] && o.shift == 0 {
		return o, errors.New("shift-seed: nothing is shifted without shift=N")
	}
	if forTest && (o.crop.random || o.flip) {
		return o, errors.New("crop=random and flip change images at random, which is for training; " +
			"a test set takes crop=centre:PIXELS")
	}
	return o, nil
}

func (o *options) parseResize(value string) error {
	var ok bool
	if o.height, o.width, ok = parseSize(value); !ok {
		return fmt.Errorf("resize=%s: want HEIGHTxWIDTH in pixels, such as 32x32, or the length of the shorter side", value)
	}
	if !strings.Contains(value, "x") {
		o.short, o.height, o.width = o.height, 0, 0
	}
	return nil
}

// set reads the value of one option; given reports whether it has an equals sign.
func (o *options) set(key, value string, given bool) error {
	number := func(min int) (int, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < min {
			return 0, fmt.Errorf("%s=%s: want a number from %d", key, value, min)
		}
		return n, nil
	}
	choice := func(no, yes string) (bool, error) {
		if value != no && value != yes {
			return false, fmt.Errorf("%s=%s: want %s or %s", key, value, no, yes)
		}
		return value == yes, nil
	}
	var err error
	switch key {
	case "normalize":
		err = o.parseNormalize(value)
	case "limit":
		o.limit, err = number(1)
	case "layout":
		o.nhwc, err = choice("nchw", "nhwc")
	case "split":
		o.test, err = choice("train", "test")
	case "labels":
		o.coarse, err = choice("fine", "coarse")
	case "shift":
		o.shift, err = number(0)
	case "shift-seed":
		if o.seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = fmt.Errorf("shift-seed=%s: want a number from 0", value)
		}
	case "resize":
		err = o.parseResize(value)
	case "crop":
		err = o.crop.parse(value)
	case "flip", "skip-bad":
		if given {
			err = fmt.Errorf("%s=%s: want %s alone", key, value, key)
		}
		o.flip, o.skipBad = o.flip || key == "flip", o.skipBad || key == "skip-bad"
	case "memory":
		if o.memory, err = parseBytes(value); err != nil {
			err = fmt.Errorf("memory=%s: want bytes, such as 500MB or 8GB", value)
		}
	case "image":
		o.image = value
	case "label":
		o.label = value
	case "channels":
		if value != "3" {
			err = fmt.Errorf("channels=%s: want 3, which makes all images those of three channels", value)
		}
		o.colour = true
	}
	return err
}

// defaultMemory is how much the samples of a set may take in memory unless the
// specification says otherwise. A larger set is streamed.
const defaultMemory = 4 << 30

// parseBytes reads a number of bytes, with kB, MB, GB or TB for powers of 1,000.
func parseBytes(value string) (int64, error) {
	unit := int64(1)
	for i, suffix := range []string{"kB", "MB", "GB", "TB"} {
		if number, ok := strings.CutSuffix(value, suffix); ok {
			value, unit = number, int64(math.Pow10(3*(i+1)))
		}
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err == nil && int64(n) > math.MaxInt64/unit {
		err = strconv.ErrRange
	}
	return int64(n) * unit, err
}

// parseSize reads HEIGHTxWIDTH, or one number that stands for both.
func parseSize(value string) (height, width int, ok bool) {
	first, second, both := strings.Cut(value, "x")
	if !both {
		second = first
	}
	h, badH := strconv.ParseUint(first, 10, 16)
	w, badW := strconv.ParseUint(second, 10, 16)
	return int(h), int(w), badH == nil && badW == nil && h > 0 && w > 0
}

func (o *options) parseNormalize(value string) error {
	switch value {
	case "none":
		return nil
	case "auto":
		o.auto = true
		return nil
	case "imagenet":
		o.mean, o.std = slices.Clone(imagenetMean), slices.Clone(imagenetStd)
		return nil
	}
	mean, std, ok := strings.Cut(value, "/")
	if !ok {
		return fmt.Errorf("normalize=%s: want MEAN/STD, imagenet, auto or none", value)
	}
	var err error
	if o.mean, err = parseFloats(mean); err != nil {
		return fmt.Errorf("normalize=%s: mean: %w", value, err)
	}
	if o.std, err = parseFloats(std); err != nil {
		return fmt.Errorf("normalize=%s: standard deviation: %w", value, err)
	}
	for _, s := range o.std {
		if s <= 0 {
			return fmt.Errorf("normalize=%s: standard deviation %v; want one above 0", value, s)
		}
	}
	return nil
}

// The figures that torchvision's models of ImageNet are trained with, for red, green
// and blue.
var (
	imagenetMean = []float64{0.485, 0.456, 0.406}
	imagenetStd  = []float64{0.229, 0.224, 0.225}
)

func parseFloats(list string) ([]float64, error) {
	var values []float64
	for field := range strings.SplitSeq(list, ",") {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%q is no number", field)
		}
		values = append(values, v)
	}
	return values, nil
}
