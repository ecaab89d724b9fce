package chart

import (
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// dpi is two pixels of a PNG for one of the figure, which has 72 an inch.
const dpi = 144

// writePNG writes the scene as it is on white.
func (s *scene) writePNG(w io.Writer) error {
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(s.width), vg.Length(s.height)), vgimg.UseDPI(dpi),
		vgimg.UseBackgroundColor(paper.light))
	place := func(p point) vg.Point { return vg.Point{X: vg.Length(p.x), Y: vg.Length(s.height - p.y)} }
	for _, p := range s.shapes {
		p.paint(canvas, place)
	}
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// paint draws a shape, whose points place puts on the canvas.
func (p *shape) paint(c *vgimg.Canvas, place func(point) vg.Point) {
	c.SetColor(p.ink.light)
	at := place(p.points[0])
	var path vg.Path
	path.Move(at)
	for _, q := range p.points[1:] {
		path.Line(place(q))
	}
	switch p.kind {
	case line:
		var dashes []vg.Length
		if p.dashed {
			dashes = []vg.Length{5, 3}
		}
		c.SetLineDash(dashes, 0)
		c.SetLineWidth(vg.Length(p.size))
		c.Stroke(path)
	case area:
		path.Close()
		faint := p.ink.light
		faint.A = uint8(math.Round(255 * p.opacity))
		c.SetColor(color.Color(faint))
		c.Fill(path)
	case dot:
		if p.opacity == 0 {
			return
		}
		var circle vg.Path
		r := vg.Length(p.size)
		circle.Move(vg.Point{X: at.X + r, Y: at.Y})
		circle.Arc(at, r, 0, 2*math.Pi)
		circle.Close()
		c.Fill(circle)
	case text:
		at.X -= vg.Length(widthOf(p.text, p.size) * []float64{0, 0.5, 1}[p.anchor])
		c.FillString(face(p.size), at, p.text)
	}
}
