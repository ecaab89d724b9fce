package chart

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
)

// Tile is a matrix drawn as a picture, with a square for every value: white for 0,
// blue below, red above. The strength of the colour is the square root of the value's
// size, so that small values are seen beside large ones.
type Tile struct {
	Rows, Cols int
	Values     []float32 // Rows × Cols, row-major
	// Scale is the size from which on values have the full colour. Pictures of the
	// same scale can be compared. Default (0): the largest size here.
	Scale float64
	// Outline marks the values that a line surrounds. Rows × Cols; default (nil) none.
	Outline []bool
}

// tileSide is about how many pixels wide and high a picture is.
const tileSide = 224

// WritePNG draws the tile.
func (t *Tile) WritePNG(w io.Writer) error {
	n := t.Rows * t.Cols
	if t.Rows < 1 || t.Cols < 1 || len(t.Values) != n || t.Outline != nil && len(t.Outline) != n {
		return fmt.Errorf("a picture of %d×%d: %d values and %d marks", t.Rows, t.Cols, len(t.Values), len(t.Outline))
	}
	cell := max(1, tileSide/max(t.Rows, t.Cols))
	scale := t.Scale
	if scale == 0 {
		for _, v := range t.Values {
			scale = max(scale, math.Abs(float64(v)))
		}
	}
	img := image.NewNRGBA(image.Rect(0, 0, t.Cols*cell, t.Rows*cell))
	for y := range t.Rows * cell {
		for x := range t.Cols * cell {
			img.SetNRGBA(x, y, diverging(float64(t.Values[y/cell*t.Cols+x/cell]), scale))
		}
	}
	t.outline(img, cell)
	return png.Encode(w, img)
}

// outline draws a line inside every edge between a value that is marked and one
// that is not, or the end of the picture.
func (t *Tile) outline(img *image.NRGBA, cell int) {
	marked := func(r, c int) bool {
		return t.Outline != nil && r >= 0 && r < t.Rows && c >= 0 && c < t.Cols && t.Outline[r*t.Cols+c]
	}
	width := max(1, cell/8)
	for r := range t.Rows {
		for c := range t.Cols {
			if !marked(r, c) {
				continue
			}
			for y := range cell {
				for x := range cell {
					if x < width && !marked(r, c-1) || x >= cell-width && !marked(r, c+1) ||
						y < width && !marked(r-1, c) || y >= cell-width && !marked(r+1, c) {
						img.SetNRGBA(c*cell+x, r*cell+y, color.NRGBA{0, 0, 0, 255})
					}
				}
			}
		}
	}
}

// diverging is the colour of v: from blue at −scale over white to red at scale;
// grey for NaN.
func diverging(v, scale float64) color.NRGBA {
	if math.IsNaN(v) {
		return color.NRGBA{128, 128, 128, 255}
	}
	full := color.NRGBA{178, 24, 43, 255}
	if v < 0 {
		full = color.NRGBA{33, 102, 172, 255}
	}
	share := 0.0
	if scale > 0 {
		share = math.Sqrt(min(1, math.Abs(v)/scale))
	}
	blend := func(c uint8) uint8 { return uint8(math.Round(255 + share*(float64(c)-255))) }
	return color.NRGBA{blend(full.R), blend(full.G), blend(full.B), 255}
}
