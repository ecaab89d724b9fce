package data

import (
	"context"
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
	// identity tells it from others, wherever the set lies: by names and sizes.
	identity(index int) string
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
		fmt.Fprintf(w, "%q\n", e.images.identity(i))
	}
}

// open makes a set of images, one for each of its labels: in memory, or streamed
// where that would not hold them or every epoch has them in another way.
func (s *Set) open(ctx context.Context, all images, o options) error {
	e := &encoded{images: all, which: make([]int, len(s.Labels)), nhwc: o.nhwc, colour: o.colour}
	for i := range e.which {
		e.which[i] = i
	}
	s.ChannelsLast, s.how = o.nhwc, o.transform
	if o.skipBad {
		if err := s.skipBad(ctx, e); err != nil {
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
	return s.load(ctx)
}

// skipBad takes the images that cannot be read out of a set: all are, once.
func (s *Set) skipBad(ctx context.Context, e *encoded) error {
	bad := make([]*ImageError, len(s.Labels))
	err := inParallel(len(s.Labels), func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
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

// load reads a streamed set into memory.
func (s *Set) load(ctx context.Context) error {
	x := make([]float32, 0, s.N()*s.Size())
	err := s.each(ctx, func(samples []float32) { x = append(x, samples...) })
	if err != nil {
		return err
	}
	s.X, s.stored, s.how = x, nil, transform{}
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
