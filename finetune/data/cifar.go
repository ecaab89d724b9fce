package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The images of CIFAR have three planes, red, green and blue, of 32 rows.
const (
	cifarSide  = 32
	cifarPlane = cifarSide * cifarSide
	cifarImage = 3 * cifarPlane
)

// cifar is one of the CIFAR sets, as www.cs.toronto.edu/~kriz/cifar.html describes
// them. In the binary version a file has records of one or two label bytes and an
// image; in the Python version, which torchvision downloads, it is the pickle of a
// dict, and named the same without .bin.
type cifar struct {
	name        string
	train, test []string // files
	labels      int      // bytes in front of an image
	label       int      // which of them is the class
	classes     int
	python      string // folder of the Python version
	key         string // of the labels there

	streamed *records // nil where samples are read into memory
}

func newCIFAR10() cifar {
	return cifar{
		name:  "CIFAR-10",
		train: []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		test:  []string{"test_batch.bin"}, labels: 1, classes: 10, python: "cifar-10-batches-py", key: "labels",
	}
}

func newCIFAR100(coarse bool) cifar {
	c := cifar{
		name: "CIFAR-100", train: []string{"train.bin"}, test: []string{"test.bin"}, labels: 2, label: 1,
		classes: 100, python: "cifar-100-python", key: "fine_labels",
	}
	if coarse {
		c.label, c.classes, c.key = 0, 20, "coarse_labels"
	}
	return c
}

// find returns the folder that holds the files, which is dir or the one that
// torchvision makes there, and whether they are those of the Python version.
func (c cifar) find(dir string, files []string) (folder string, pickled bool) {
	has := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	if has(filepath.Join(dir, files[0])) {
		return dir, false
	}
	for _, folder := range []string{dir, filepath.Join(dir, c.python)} {
		if has(filepath.Join(folder, strings.TrimSuffix(files[0], ".bin"))) {
			return folder, true
		}
	}
	return dir, false
}

// open reads the training or the test files of a folder, one after another.
func (c cifar) open(dir string, o options) (s *Set, err error) {
	f := frame{3, cifarSide, cifarSide, o.nhwc}
	s = &Set{Shape: f.shape(), ChannelsLast: o.nhwc}
	files := c.train
	if o.test {
		files = c.test
	}
	dir, pickled := c.find(dir, files)
	if c.exceeds(dir, files, pickled, o) {
		c.streamed = &records{frame: frame{3, cifarSide, cifarSide, false}, last: o.nhwc}
		s.stored = c.streamed
		defer func() {
			if err != nil {
				c.streamed.close()
			}
		}()
	}
	for _, name := range files {
		if o.limit > 0 && s.N() >= o.limit {
			break
		}
		if path := filepath.Join(dir, name); pickled {
			err = c.readPickle(strings.TrimSuffix(path, ".bin"), s, f, o.limit)
		} else {
			err = c.read(path, s, f, o.limit)
		}
		if err != nil {
			return nil, err
		}
	}
	s.Classes = c.classes
	return s, nil
}

// exceeds reports whether the samples are more than memory may hold.
func (c cifar) exceeds(dir string, files []string, pickled bool, o options) bool {
	var size int64
	for _, name := range files {
		if pickled {
			name = strings.TrimSuffix(name, ".bin")
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			size += info.Size()
		}
	}
	return o.exceeds(int(size/cifarImage), cifarImage)
}

// read appends the records of a file to s, until that holds limit samples if
// limit is not 0.
func (c cifar) read(path string, s *Set, f frame, limit int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<16)
	record := make([]byte, c.labels+cifarImage)
	before := s.N()
	for offset := int64(0); limit == 0 || s.N() < limit; offset += int64(len(record)) {
		n, err := io.ReadFull(in, record)
		switch {
		case errors.Is(err, io.EOF):
			return c.addRecords(path, int64(c.labels), int64(len(record)), s.N()-before)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%s: ends at offset %d, inside the %s record that begins at %d and takes %d bytes", path,
				offset+int64(n), c.name, offset, len(record))
		case err != nil:
			return fmt.Errorf("%s: offset %d: %w", path, offset+int64(n), reason(err))
		}
		label := int(record[c.label])
		if label >= c.classes {
			return fmt.Errorf("%s: offset %d: label %d; the classes are 0 to %d", path, offset+int64(c.label), label,
				c.classes-1)
		}
		c.append(s, f, label, record[c.labels:])
	}
	return c.addRecords(path, int64(c.labels), int64(len(record)), s.N()-before)
}

// addRecords notes where the images of a file lie, if they are streamed.
func (c cifar) addRecords(path string, offset, stride int64, count int) error {
	if c.streamed == nil {
		return nil
	}
	return c.streamed.add(path, offset, stride, count)
}

// append adds a sample of three planes to s.
func (c cifar) append(s *Set, f frame, label int, image []byte) {
	s.Labels = append(s.Labels, label)
	if c.streamed != nil {
		return
	}
	channel, _, column := f.strides()
	at := len(s.X)
	s.X = append(s.X, make([]float32, cifarImage)...)
	for i, v := range image {
		s.X[at+i/cifarPlane*channel+i%cifarPlane*column] = float32(v) / 255
	}
}

// maxPickle bounds the size of a batch of the Python version: CIFAR-100 has all of
// its training images in one, of 155 MB.
const maxPickle = 1 << 30

// readPickle appends the samples of a batch of the Python version to s, as read
// does.
func (c cifar) readPickle(path string, s *Set, f frame, limit int) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxPickle {
		return fmt.Errorf("%s: %d bytes; a batch of %s has fewer than %d", path, info.Size(), c.name, maxPickle)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	batch, err := unpickle(content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	images, labels, err := c.batch(batch)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	before := s.N()
	for i, label := range labels {
		if limit > 0 && s.N() >= limit {
			break
		}
		c.append(s, f, label, images.bytes[i*cifarImage:(i+1)*cifarImage])
	}
	if c.streamed != nil && images.offset < 0 {
		return fmt.Errorf("%s: more than memory allows, and pickled so that its images cannot be read in place; allow more "+
			"memory", path)
	}
	return c.addRecords(path, int64(images.offset), cifarImage, s.N()-before)
}

// batch returns the images of a batch of the Python version, one after another, and
// the class of each.
func (c cifar) batch(batch *pickleDict) (images pickleBytes, labels []int, err error) {
	array, isArray := batch.items["data"].(*pickleArray)
	list, isList := batch.items[c.key].(*pickleList)
	if !isArray || !isList {
		return images, nil, fmt.Errorf("the pickle holds %q; want the array data and the list %s of %s",
			slices.Sorted(maps.Keys(batch.items)), c.key, c.name)
	}
	n := len(list.items)
	if !slices.Equal(array.shape, []int64{int64(n), cifarImage}) || len(array.pixels.bytes) != n*cifarImage {
		return images, nil, fmt.Errorf("data has shape %v and %d bytes for %d labels; want %d bytes for each", array.shape,
			len(array.pixels.bytes), n, cifarImage)
	}
	labels = make([]int, n)
	for i, item := range list.items {
		label, ok := item.(int64)
		if !ok { // not printed: of tuples that hold each other there may be no end
			return images, nil, fmt.Errorf("%s: the label of image %d is no integer", c.key, i)
		}
		if label < 0 || label >= int64(c.classes) {
			return images, nil, fmt.Errorf("%s: label %d of image %d; the classes are 0 to %d", c.key, label, i, c.classes-1)
		}
		labels[i] = int(label)
	}
	return array.pixels, labels, nil
}
