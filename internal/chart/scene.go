package chart

import (
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
)

// scene is a figure as shapes, in the order in which they are drawn. Lengths are pixels
// of the figure's own size; y grows downwards.
type scene struct {
	width, height float64
	title         string
	shapes        []shape
}

type point struct{ x, y float64 }

// shape is a line, an area, a dot or a text.
type shape struct {
	kind    kind
	points  []point // one of a dot and of a text
	ink     ink
	size    float64 // width of a line, radius of a dot, height of a text
	opacity float64 // of an area, and of a dot: 0 for one that only has a note
	dashed  bool
	text    string
	anchor  anchor
	note    string // shown where the pointer rests on it
}

type kind int

const (
	line kind = iota
	area
	dot
	text
)

// anchor is which end of a text is at its point.
type anchor int

const (
	start anchor = iota
	middle
	end
)

func (s *scene) add(shapes ...shape) { s.shapes = append(s.shapes, shapes...) }

func (s *scene) write(x, y float64, size float64, at anchor, c ink, words string) {
	s.add(shape{kind: text, points: []point{{x, y}}, size: size, anchor: at, ink: c, text: words})
}

func (s *scene) rule(x1, y1, x2, y2 float64, c ink, size float64) {
	s.add(shape{kind: line, points: []point{{x1, y1}, {x2, y2}}, ink: c, size: size})
}

// fonts are those that figures are measured and drawn with.
var fonts = font.NewCache(liberation.Collection())

func face(size float64) font.Face {
	return fonts.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, font.Length(size))
}

// widthOf is how wide a text is.
func widthOf(words string, size float64) float64 {
	f := face(size)
	return float64(f.Width(words))
}
