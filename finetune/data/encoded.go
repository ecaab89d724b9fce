package data

import (
	"errors"
	"fmt"
	"io"
)

// images are PNG or JPEG files, wherever they lie. It is safe for parallel use.
type images interface {
	// content returns the bytes of an image.
	content(index int) ([]byte, error)
	// name names it in errors.
	name(index int) string
	// size is the number of its bytes.
	size(index int) int64
}

// ImageError says why an image could not be read.
type ImageError struct {
	Image string // its file, and where in the file
	Err   error
}

func (e *ImageError) Error() string { return e.Image + ": " + e.Err.Error() }

func (e *ImageError) Unwrap() error { return e.Err }

// encoded are the samples of a set that are images.
type encoded struct {
	images       images
	which        []int // of the images, in the order of the samples
	nhwc, colour bool
}

func (e *encoded) name(index int) string { return e.images.name(e.which[index]) }

func (e *encoded) read(index int) (frame, []float32, error) {
	content, err := e.images.content(e.which[index])
	if err != nil {
		return frame{}, nil, err
	}
	f, pixels, err := decodeImage(content, e.nhwc, e.colour)
	if err != nil {
		return f, nil, &ImageError{e.name(index), err}
	}
	return f, pixels, nil
}

func (e *encoded) identify(w io.Writer) {
	fmt.Fprintf(w, "%v\n", e.colour)
	for _, i := range e.which {
		fmt.Fprintf(w, "%q %d\n", e.images.name(i), e.images.size(i))
	}
}

// open makes a set of images, one for each of its labels: in memory, or streamed
// where that would not hold them or every epoch has them in another way.
func (s *Set) open(all images, o options) error {
	e := &encoded{images: all, which: make([]int, len(s.Labels)), nhwc: o.nhwc, colour: o.colour}
	for i := range e.which {
		e.which[i] = i
	}
	s.ChannelsLast, s.how = o.nhwc, o.transform
	if o.skipBad {
		if err := s.skipBad(e); err != nil {
			return err
		}
	}
	if o.limit > 0 {
		n := min(o.limit, len(s.Labels))
		s.Labels, e.which = s.Labels[:n], e.which[:n]
	}
	if len(s.Labels) == 0 {
		return nil
	}
	if err := s.stream(e); err != nil {
		return err
	}
	if need := int64(s.Size()) * int64(s.N()) * 4; o.crop.random || need > o.memory {
		return nil
	}
	s.stored = nil
	return s.load(e)
}

// skipBad takes the images that cannot be read out of a set: all are, once.
func (s *Set) skipBad(e *encoded) error {
	bad := make([]*ImageError, len(s.Labels))
	err := inParallel(len(s.Labels), func(i int) error {
		_, _, err := e.read(i)
		if errors.As(err, &bad[i]) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	kept := 0
	for i, why := range bad {
		if why != nil {
			s.Skipped = append(s.Skipped, why)
			continue
		}
		s.Labels[kept], e.which[kept] = s.Labels[i], e.which[i]
		kept++
	}
	s.Labels, e.which = s.Labels[:kept], e.which[:kept]
	return nil
}

// stream leaves the images where they are. The first says what shape the samples
// have.
func (s *Set) stream(e *encoded) error {
	f, _, err := e.read(0)
	if err != nil {
		return err
	}
	to, err := s.how.after(f)
	if err != nil {
		return fmt.Errorf("%s: %w", e.name(0), err)
	}
	s.Shape, s.stored = to.shape(), e
	return nil
}

// load reads all images. They are transformed as they are read, so that resizing may
// bring them to one size.
func (s *Set) load(e *encoded) error {
	var want frame
	for i := range s.Labels {
		f, pixels, err := e.read(i)
		if err != nil {
			return err
		}
		to, err := s.how.after(f)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name(i), err)
		}
		if i == 0 {
			want, s.Shape = to, to.shape()
		}
		if to != want {
			return differs(e.name(0), want, e.name(i), to)
		}
		if !s.how.none() {
			transformed := make([]float32, to.size())
			s.how.apply(transformed, pixels, f, i, nil)
			pixels = transformed
		}
		s.X = append(s.X, pixels...)
	}
	s.how = transform{} // done
	return nil
}

// differs says how two images are not of one shape.
func differs(first string, want frame, other string, have frame) error {
	if have.channels != want.channels {
		return fmt.Errorf("%s has %s, %s has %s; want one kind, or channels=3", first, colours(want.channels), other,
			colours(have.channels))
	}
	return fmt.Errorf("%s has %d×%d pixels, %s has %d×%d; give resize=HxW", first, want.height, want.width, other,
		have.height, have.width)
}
