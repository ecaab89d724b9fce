package chart

import (
	"bytes"
	"fmt"
	"html"
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
	scale := t.scale()
	img := image.NewNRGBA(image.Rect(0, 0, t.Cols*cell, t.Rows*cell))
	for y := range t.Rows * cell {
		for x := range t.Cols * cell {
			img.SetNRGBA(x, y, diverging(float64(t.Values[y/cell*t.Cols+x/cell]), scale, paper.light))
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

// diverging is the colour of v: from blue at −scale over that of the ground to red at
// scale; grey for NaN.
func diverging(v, scale float64, ground color.NRGBA) color.NRGBA {
	if math.IsNaN(v) {
		return color.NRGBA{128, 128, 128, 255}
	}
	full := ink{color.NRGBA{178, 24, 43, 255}, color.NRGBA{255, 120, 110, 255}}
	if v < 0 {
		full = ink{color.NRGBA{33, 102, 172, 255}, color.NRGBA{110, 180, 255, 255}}
	}
	strong := full.light
	if ground == paper.dark {
		strong = full.dark
	}
	share := 0.0
	if scale > 0 {
		share = math.Sqrt(min(1, math.Abs(v)/scale))
	}
	return blend(ground, strong, share)
}

// mostStrokes bounds an SVG of a tile: a browser draws one of that many at once.
const mostStrokes = 20000

// TooFineError reports a tile that has too many different values for an SVG.
type TooFineError struct{ Strokes, Most int }

func (e *TooFineError) Error() string {
	return fmt.Sprintf("an SVG would have %d strokes; want %d at the most, or a PNG", e.Strokes, e.Most)
}

// WriteSVG draws the tile in lines: values of one size that follow each other on a
// diagonal, as the weights of a convolution do, are one stroke. A tile that would have too
// many is refused with a *TooFineError. Outline is not drawn.
func (t *Tile) WriteSVG(w io.Writer, title string) error {
	if n := t.Rows * t.Cols; t.Rows < 1 || t.Cols < 1 || len(t.Values) != n {
		return fmt.Errorf("a picture of %d×%d: %d values", t.Rows, t.Cols, len(t.Values))
	}
	scale := t.scale()
	at := func(r, c int) float32 {
		if r < 0 || c < 0 || r >= t.Rows || c >= t.Cols {
			return 0
		}
		return t.Values[r*t.Cols+c]
	}
	strokes := map[ink][]byte{}
	var order []ink
	n := 0
	for r := range t.Rows {
		for c := range t.Cols {
			v := at(r, c)
			if v == 0 || at(r-1, c-1) == v {
				continue
			}
			length := 1
			for at(r+length, c+length) == v {
				length++
			}
			k := ink{diverging(float64(v), scale, paper.light), diverging(float64(v), scale, paper.dark)}
			if strokes[k] == nil {
				order = append(order, k)
			}
			strokes[k] = fmt.Appendf(strokes[k], "M%d %dl%d %[3]d", c, r, length)
			n++
		}
	}
	if n > mostStrokes {
		return &TooFineError{n, mostStrokes}
	}
	var b bytes.Buffer
	zoom := max(1, math.Floor(360/float64(max(t.Rows, t.Cols))))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 %d %d" width="%g" height="%g" role="img" `+
		`aria-label="%s">%s`+"\n", t.Cols+2, t.Rows+2, zoom*float64(t.Cols+2), zoom*float64(t.Rows+2),
		html.EscapeString(title), darkStyle)
	fmt.Fprintf(&b, `<rect class="f" x="-1" y="-1" width="%d" height="%d" %s/>`+"\n", t.Cols+2, t.Rows+2, fill(rules))
	fmt.Fprintf(&b, `<rect class="f" width="%d" height="%d" %s/>`+"\n", t.Cols, t.Rows, fill(paper))
	for _, k := range order {
		fmt.Fprintf(&b, `<path class="l" fill="none" stroke="%s" style="--D:%s" d="%s"/>`+"\n", hex(k.light), hex(k.dark),
			strokes[k])
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// scale is Scale or its default.
func (t *Tile) scale() float64 {
	scale := t.Scale
	if scale == 0 {
		for _, v := range t.Values {
			scale = max(scale, math.Abs(float64(v)))
		}
	}
	return scale
}
