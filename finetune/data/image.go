package data

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// frame is the shape of one image and where its axes lie in memory.
type frame struct {
	channels, height, width int
	last                    bool // H×W×C; otherwise C×H×W
}

func (f frame) size() int { return f.channels * f.height * f.width }

// strides returns how many elements lie between one channel, row or column and
// the next.
func (f frame) strides() (channel, row, column int) {
	if f.last {
		return 1, f.width * f.channels, f.channels
	}
	return f.height * f.width, f.width, 1
}

// shape is the shape of a sample.
func (f frame) shape() []int {
	if f.last {
		return []int{f.height, f.width, f.channels}
	}
	return []int{f.channels, f.height, f.width}
}

// frame says how the samples of s are images.
func (s *Set) frame() (frame, error) {
	if len(s.Shape) != 3 {
		return frame{}, fmt.Errorf("samples of shape %v are no images of three axes", s.Shape)
	}
	if s.ChannelsLast {
		return frame{s.Shape[2], s.Shape[0], s.Shape[1], true}, nil
	}
	return frame{s.Shape[0], s.Shape[1], s.Shape[2], false}, nil
}

// move puts the image src, moved down by dy and right by dx and mirrored from
// left to right before that if so asked, into dst. What has no source is
// background, a value per channel.
func (f frame) move(dst, src []float32, dy, dx int, mirrored bool, background []float32) {
	channel, row, column := f.strides()
	for c := range f.channels {
		for y := range f.height {
			for x := range f.width {
				fromY, fromX := y-dy, x-dx
				v := background[c]
				if fromY >= 0 && fromY < f.height && fromX >= 0 && fromX < f.width {
					if mirrored {
						fromX = f.width - 1 - fromX
					}
					v = src[c*channel+fromY*row+fromX*column]
				}
				dst[c*channel+y*row+x*column] = v
			}
		}
	}
}

// transform is what the options do to the images before they are normalised.
type transform struct {
	shift         int // 0 for none
	seed          uint64
	height, width int // 0 for as they are
	short         int // length that the shorter side gets; 0 for as it is
	crop          crop
}

func (t transform) none() bool { return t == transform{seed: t.seed} }

// resized returns the frame of an image in f once it is resized.
func (t transform) resized(f frame) frame {
	switch {
	case t.height > 0:
		f.height, f.width = t.height, t.width
	case t.short > 0 && f.height <= f.width:
		f.height, f.width = t.short, t.short*f.width/f.height
	case t.short > 0:
		f.height, f.width = t.short*f.height/f.width, t.short
	}
	return f
}

// after returns the frame of what apply makes of images in f, or why it can't.
func (t transform) after(f frame) (frame, error) {
	if t.shift >= min(f.height, f.width) {
		if t.shift > 0 {
			return f, fmt.Errorf("shift=%d: would move images of %d×%d pixels out of sight", t.shift, f.height, f.width)
		}
		return f, errors.New("images without pixels")
	}
	f = t.resized(f)
	if f.height > maxPixels/f.width {
		return f, fmt.Errorf("resize: %d×%d pixels; want %d at most", f.height, f.width, maxPixels)
	}
	c := t.crop
	if !c.random && (c.height > f.height || c.width > f.width) {
		return f, fmt.Errorf("crop: %d×%d pixels of an image of %d×%d; resize it before",
			c.height, c.width, f.height, f.width)
	}
	if c.height > 0 {
		f.height, f.width = c.height, c.width
	}
	return f, nil
}

// apply transforms the image of that index, in from, and puts it into dst, in the
// frame that after returned. A random crop is drawn from rng; nil stands for its
// middle. dst and src do not overlap.
func (t transform) apply(dst, src []float32, from frame, index int, rng *rand.Rand) {
	resizes := t.height > 0 || t.short > 0
	if t.shift > 0 {
		draw := rand.New(rand.NewPCG(t.seed, uint64(index)))
		dy := draw.IntN(2*t.shift+1) - t.shift
		dx := draw.IntN(2*t.shift+1) - t.shift
		moved := dst
		if resizes || t.crop.height > 0 {
			moved = make([]float32, from.size())
		}
		from.move(moved, src, dy, dx, false, make([]float32, from.channels))
		src = moved
	}
	if resizes {
		to, resized := t.resized(from), dst
		if t.crop.height > 0 {
			resized = make([]float32, to.size())
		}
		resample(resized, src, from, to)
		src, from = resized, to
	}
	switch c := t.crop; {
	case c.height == 0:
		if t.none() {
			copy(dst, src)
		}
	case c.random:
		w, part, to := c.draw(from, rng), from, from
		part.height, part.width = w.height, w.width
		to.height, to.width = c.height, c.width
		window := make([]float32, part.size())
		from.cut(window, src, w)
		resample(dst, window, part, to)
	default:
		from.cut(dst, src, c.centre(from))
	}
}

// transform applies t to all images of the set.
func (s *Set) transform(t transform) error {
	if t.none() {
		return nil
	}
	from, err := s.frame()
	if err != nil {
		return fmt.Errorf("shift, resize and crop: %w", err)
	}
	to, err := t.after(from)
	if err != nil {
		return err
	}
	out := make([]float32, s.N()*to.size())
	for i := range s.N() {
		t.apply(out[i*to.size():(i+1)*to.size()], s.X[i*from.size():(i+1)*from.size()], from, i, nil)
	}
	s.X, s.Shape = out, to.shape()
	return nil
}

// taps are the pixels that one pixel of a resized axis is made of.
type taps struct {
	first   int
	weights []float64 // sum 1
}

// filter resizes an axis. To a whole fraction of its length it takes the mean of
// each stretch; otherwise it is a triangle about the middle of the new pixel,
// as wide to either side as the greater of an old and a new pixel, cut off and
// scaled at the borders: what Pillow calls BILINEAR and PyTorch bilinear with
// antialias.
func filter(in, out int) []taps {
	all := make([]taps, out)
	scale := float64(in) / float64(out)
	if in%out == 0 {
		for i := range all {
			all[i] = taps{i * in / out, make([]float64, in/out)}
			for j := range all[i].weights {
				all[i].weights[j] = 1 / scale
			}
		}
		return all
	}
	reach := max(1, scale)
	for i := range all {
		middle := (float64(i) + 0.5) * scale
		first := max(0, int(math.Floor(middle-reach)))
		var sum float64
		t := taps{first: first}
		for j := first; j < min(in, int(math.Ceil(middle+reach))); j++ {
			w := max(0, 1-math.Abs(float64(j)+0.5-middle)/reach)
			t.weights = append(t.weights, w)
			sum += w
		}
		for j := range t.weights {
			t.weights[j] /= sum
		}
		all[i] = t
	}
	return all
}

// resample resizes an image, rounding once.
func resample(dst, src []float32, from, to frame) {
	rows, columns := filter(from.height, to.height), filter(from.width, to.width)
	channel, row, column := from.strides()
	toChannel, toRow, toColumn := to.strides()
	narrow := make([]float64, from.height*to.width)
	for c := range from.channels {
		for y := range from.height {
			for x, t := range columns {
				var sum float64
				at := c*channel + y*row + t.first*column
				for _, w := range t.weights {
					sum += w * float64(src[at])
					at += column
				}
				narrow[y*to.width+x] = sum
			}
		}
		for y, t := range rows {
			for x := range to.width {
				var sum float64
				for j, w := range t.weights {
					sum += w * narrow[(t.first+j)*to.width+x]
				}
				dst[c*toChannel+y*toRow+x*toColumn] = float32(sum)
			}
		}
	}
}
