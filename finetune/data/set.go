package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Set is a list of labelled samples, in memory or made when they are taken.
type Set struct {
	// X holds the samples one after another, N × Shape, row-major. It is nil where
	// the set is streamed: see Streamed.
	X []float32
	// Shape is the shape of one sample: C×H×W or H×W×C for images.
	Shape []int
	// ChannelsLast says that it is H×W×C.
	ChannelsLast bool
	// Labels holds the class of each sample, from 0.
	Labels []int
	// Classes is how many classes the format has (CIFAR: 10, 100 or 20; a folder:
	// as many as it has folders), otherwise the greatest label plus one.
	Classes int

	// Mean and Std are what X was normalised with, a value per channel; nil if
	// it was not.
	Mean, Std []float64

	// Augment is what the specification asks for in every epoch: flip.
	Augment Augment
	// Skipped names the images that could not be read, where the specification has
	// skip-bad; they are not among the samples.
	Skipped []*ImageError

	stored stored // of a streamed set
	how    transform
}

// Streamed reports whether samples are read, and made as the specification says,
// whenever they are taken, so that memory holds a batch of them at a time.
func (s *Set) Streamed() bool { return s.stored != nil }

// N returns the number of samples.
func (s *Set) N() int { return len(s.Labels) }

// Size returns the number of elements of one sample.
func (s *Set) Size() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// Counts returns how many samples each class has.
func (s *Set) Counts() []int {
	counts := make([]int, s.Classes)
	for _, y := range s.Labels {
		counts[y]++
	}
	return counts
}

// Batch copies the samples of the given indices, one after another, into dst,
// which holds at least len(indices)·Size() elements. Only a streamed set fails. What
// the specification has drawn at random is in its middle: see [Augmenter].
func (s *Set) Batch(indices []int, dst []float32) error {
	size := s.Size()
	if s.stored != nil {
		return inParallel(len(indices), func(i int) error {
			return s.take(indices[i], nil, dst[i*size:(i+1)*size])
		})
	}
	for i, index := range indices {
		copy(dst[i*size:(i+1)*size], s.X[index*size:(index+1)*size])
	}
	return nil
}

// Head returns the set of the first n samples, or all of them where there are fewer.
// It shares the memory of s.
func (s *Set) Head(n int) *Set {
	part := *s
	n = min(n, s.N())
	part.Labels = s.Labels[:n]
	if s.stored == nil {
		part.X = s.X[:n*s.Size()]
	}
	return &part
}

// validate finishes a set that was read: it counts the classes and refuses
// what no training could use.
func (s *Set) validate(ctx context.Context) error {
	if len(s.Labels) == 0 {
		return errors.New("no samples")
	}
	size := s.Size()
	if size == 0 {
		return fmt.Errorf("samples of shape %v are empty", s.Shape)
	}
	if s.stored == nil && len(s.X) != len(s.Labels)*size {
		return fmt.Errorf("%d elements for %d samples of shape %v", len(s.X), len(s.Labels), s.Shape)
	}
	for i, y := range s.Labels {
		if y < 0 {
			return fmt.Errorf("sample %d has the label %d; labels count from 0", i, y)
		}
		s.Classes = max(s.Classes, y+1)
	}
	if rec, ok := s.stored.(*records); s.stored != nil && !(ok && rec.floats) {
		return nil // pixels of images are finite
	}
	at, wrong := 0, error(nil)
	err := s.each(ctx, func(samples []float32) {
		for i, x := range samples {
			if wrong == nil && (math.IsNaN(float64(x)) || math.IsInf(float64(x), 0)) {
				wrong = fmt.Errorf("sample %d holds %v at element %d; want finite values", (at+i)/size, x, i%size)
			}
		}
		at += len(samples)
	})
	return errors.Join(err, wrong)
}

// channels returns how many channels a sample has and how many elements lie
// between one channel and the next. What is no image has one channel.
func (s *Set) channels() (count, stride int) {
	if len(s.Shape) < 2 {
		return 1, s.Size()
	}
	if s.ChannelsLast {
		return s.Shape[len(s.Shape)-1], 1
	}
	return s.Shape[0], s.Size() / s.Shape[0]
}

// normalize subtracts the mean of each channel and divides by its standard
// deviation. mean and std hold one value, or one per channel.
func (s *Set) normalize(mean, std []float64) error {
	count, _ := s.channels()
	for _, list := range [][]float64{mean, std} {
		if len(list) != 1 && len(list) != count {
			return fmt.Errorf("normalize: %d values for %d channels; want 1 or %d", len(list), count, count)
		}
	}
	s.Mean, s.Std = make([]float64, count), make([]float64, count)
	for c := range count {
		s.Mean[c], s.Std[c] = mean[c%len(mean)], std[c%len(std)]
	}
	s.normalizeSamples(s.X)
	return nil
}

// normalizeSamples normalises samples, one after another, by Mean and Std if the set
// has them.
func (s *Set) normalizeSamples(samples []float32) {
	if s.Mean == nil {
		return
	}
	count, stride := s.channels()
	for i, x := range samples {
		c := i / stride % count
		samples[i] = (x - float32(s.Mean[c])) / float32(s.Std[c])
	}
}

// moments returns the mean and the standard deviation of each channel over
// all samples and positions.
func (s *Set) moments(ctx context.Context) (mean, std []float64, err error) {
	count, stride := s.channels()
	mean, std = make([]float64, count), make([]float64, count)
	n := float64(s.N() * s.Size() / count)
	err = s.each(ctx, func(samples []float32) {
		for i, x := range samples {
			mean[i/stride%count] += float64(x) / n
		}
	})
	if err == nil {
		err = s.each(ctx, func(samples []float32) {
			for i, x := range samples {
				c := i / stride % count
				std[c] += (float64(x) - mean[c]) * (float64(x) - mean[c]) / n
			}
		})
	}
	if err != nil {
		return nil, nil, err
	}
	for c := range std {
		if std[c] = math.Sqrt(std[c]); std[c] == 0 {
			return nil, nil, fmt.Errorf("normalize=auto: channel %d is constant; give normalize=MEAN/STD", c)
		}
	}
	return mean, std, nil
}

// Hash returns the SHA-256 of the samples, their shape and their labels, in
// hexadecimal digits. Of a streamed set it is that of how the samples are made and of
// what they are made from: of files, the names (not where they lie) and sizes.
func (s *Set) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%v %v\n", s.Shape, s.Labels)
	if s.Augment != (Augment{}) {
		fmt.Fprintf(h, "%+v\n", s.Augment)
	}
	if s.stored != nil {
		fmt.Fprintf(h, "%+v %v %v %v\n", s.how, s.Mean, s.Std, s.ChannelsLast)
		s.stored.identify(h)
		return hex.EncodeToString(h.Sum(nil))
	}
	writeFloats(h, s.X)
	return hex.EncodeToString(h.Sum(nil))
}

// writeFloats writes floats to a hash, which takes everything.
func writeFloats(h io.Writer, floats []float32) {
	var buf []byte
	for block := range slices.Chunk(floats, 1<<13) {
		buf = buf[:0]
		for _, x := range block {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		_, _ = h.Write(buf)
	}
}
