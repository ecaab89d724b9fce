package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// crop is a window that is cut out of an image.
type crop struct {
	height, width int // 0 for none
	random        bool
}

// parse reads "centre:224", "random:224" or, of other shapes, "centre:224x192".
func (c *crop) parse(value string) error {
	kind, size, _ := strings.Cut(value, ":")
	h, w, ok := parseSize(size)
	if (kind != "centre" && kind != "random") || !ok {
		return fmt.Errorf("crop=%s: want centre:PIXELS, random:PIXELS or HEIGHTxWIDTH in the place of PIXELS", value)
	}
	*c = crop{h, w, kind == "random"}
	return nil
}

// window is a part of an image.
type window struct{ y, x, height, width int }

// centre returns the window in the middle of an image, as torchvision's CenterCrop
// has it.
func (c crop) centre(f frame) window {
	middle := func(length, part int) int { return int(math.RoundToEven(float64(length-part) / 2)) }
	return window{middle(f.height, c.height), middle(f.width, c.width), c.height, c.width}
}

// What torchvision's RandomResizedCrop takes by default: shares of the area, and
// widths per height.
const (
	leastArea  = 0.08
	leastRatio = 3. / 4
	mostRatio  = 4. / 3
	cropTries  = 10
)

// draw returns a window of random size, shape and place, as torchvision's
// RandomResizedCrop draws it, from its own random numbers. With rng nil it is what
// RandomResizedCrop takes where no window fits: the greatest in the middle.
func (c crop) draw(f frame, rng *rand.Rand) window {
	if rng != nil {
		area := float64(f.height) * float64(f.width)
		for range cropTries {
			share := leastArea + (1-leastArea)*rng.Float64()
			ratio := math.Exp(math.Log(leastRatio) + (math.Log(mostRatio)-math.Log(leastRatio))*rng.Float64())
			w := int(math.RoundToEven(math.Sqrt(area * share * ratio)))
			h := int(math.RoundToEven(math.Sqrt(area * share / ratio)))
			if 0 < w && w <= f.width && 0 < h && h <= f.height {
				return window{rng.IntN(f.height - h + 1), rng.IntN(f.width - w + 1), h, w}
			}
		}
	}
	h, w := f.height, f.width
	switch ratio := float64(w) / float64(h); {
	case ratio < leastRatio:
		h = int(math.RoundToEven(float64(w) / leastRatio))
	case ratio > mostRatio:
		w = int(math.RoundToEven(float64(h) * mostRatio))
	}
	return window{(f.height - h) / 2, (f.width - w) / 2, h, w}
}

// cut copies a window of src, an image in f, into dst.
func (f frame) cut(dst, src []float32, w window) {
	to := f
	to.height, to.width = w.height, w.width
	channel, row, column := f.strides()
	toChannel, toRow, toColumn := to.strides()
	for c := range f.channels {
		for y := range w.height {
			for x := range w.width {
				dst[c*toChannel+y*toRow+x*toColumn] = src[c*channel+(w.y+y)*row+(w.x+x)*column]
			}
		}
	}
}
