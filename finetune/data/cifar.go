package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The images of CIFAR have three planes, red, green and blue, of 32 rows.
const (
	cifarSide  = 32
	cifarPlane = cifarSide * cifarSide
	cifarImage = 3 * cifarPlane
)

// cifar is one of the CIFAR sets in its binary version, as
// www.cs.toronto.edu/~kriz/cifar.html describes it: records of one or two label
// bytes and an image.
type cifar struct {
	name        string
	train, test []string // files
	labels      int      // bytes in front of an image
	label       int      // which of them is the class
	classes     int
}

func newCIFAR10() cifar {
	return cifar{
		name:  "CIFAR-10",
		train: []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		test:  []string{"test_batch.bin"}, labels: 1, classes: 10,
	}
}

func newCIFAR100(coarse bool) cifar {
	c := cifar{
		name: "CIFAR-100", train: []string{"train.bin"}, test: []string{"test.bin"}, labels: 2, label: 1,
		classes: 100,
	}
	if coarse {
		c.label, c.classes = 0, 20
	}
	return c
}

// open reads the training or the test files of a folder, one after another.
func (c cifar) open(dir string, o options) (*Set, error) {
	f := frame{3, cifarSide, cifarSide, o.nhwc}
	s := &Set{Shape: f.shape(), ChannelsLast: o.nhwc}
	files := c.train
	if o.test {
		files = c.test
	}
	for _, name := range files {
		if o.limit > 0 && s.N() >= o.limit {
			break
		}
		if err := c.read(filepath.Join(dir, name), s, f, o.limit); err != nil {
			return nil, err
		}
	}
	s.Classes = c.classes
	return s, nil
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
	channel, _, column := f.strides()
	for offset := int64(0); limit == 0 || s.N() < limit; offset += int64(len(record)) {
		n, err := io.ReadFull(in, record)
		switch {
		case errors.Is(err, io.EOF):
			return nil
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
		s.Labels = append(s.Labels, label)
		at := len(s.X)
		s.X = append(s.X, make([]float32, cifarImage)...)
		for i, v := range record[c.labels:] {
			s.X[at+i/cifarPlane*channel+i%cifarPlane*column] = float32(v) / 255
		}
	}
	return nil
}
