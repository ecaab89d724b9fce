package chart

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"io"
	"math"
	"strconv"
)

// darkStyle is what makes an SVG dark where the reader's system is: every shape has its
// dark colour in --D. Programs that know no style sheets draw the light one. A page that
// holds the picture has the same rules for what it prints, and others.
const darkStyle = `<style>@media (prefers-color-scheme:dark){.l{stroke:var(--D)}.f{fill:var(--D)}}</style>`

// writeSVG writes the scene as a picture of its own.
func (s *scene) writeSVG(w io.Writer) error {
	return s.writeMarkup(w, ` xmlns="http://www.w3.org/2000/svg"`, darkStyle)
}

// WriteInline writes the chart as the SVG that stands in a page, which has to style it:
// the outlines of the class l and the fillings of the class f have the colour --D where
// the page is dark.
func (c *Chart) WriteInline(w io.Writer) error {
	s, err := c.layout()
	if err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	return s.writeMarkup(w, "", "")
}

func (s *scene) writeMarkup(w io.Writer, attributes, style string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg%s viewBox="0 0 %s %s" width="%[2]s" height="%[3]s" role="img" aria-label="%s" `+
		`font-family="'Liberation Sans',Arial,Helvetica,sans-serif">%s`,
		attributes, pixels(s.width), pixels(s.height), html.EscapeString(s.title), style)
	fmt.Fprintf(&b, "\n<rect class=\"f\" width=\"%s\" height=\"%s\" %s/>\n", pixels(s.width), pixels(s.height),
		fill(paper))
	// What several shapes in a row have in common is said once.
	for i := 0; i < len(s.shapes); {
		common, n := s.shapes[i].style(), 1
		for i+n < len(s.shapes) && s.shapes[i+n].style() == common {
			n++
		}
		b.WriteString(common + "\n")
		for _, p := range s.shapes[i : i+n] {
			p.writeSVG(&b)
		}
		b.WriteString("</g>\n")
		i += n
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// style opens the group of shapes that look like p.
func (p *shape) style() string {
	switch p.kind {
	case line:
		dashes := ""
		if p.dashed {
			dashes = ` stroke-dasharray="5 3"`
		}
		return fmt.Sprintf(`<g class="l" fill="none" stroke="%s" style="--D:%s" stroke-width="%s"%s>`, hex(p.ink.light),
			hex(p.ink.dark), pixels(p.size), dashes)
	case text:
		return fmt.Sprintf(`<g class="f" %s font-size="%s" text-anchor="%s">`, fill(p.ink), pixels(p.size),
			[]string{"start", "middle", "end"}[p.anchor])
	default:
		if p.opacity == 0 { // it is there for its note
			return `<g fill-opacity="0">`
		}
		return fmt.Sprintf(`<g class="f" %s fill-opacity="%s">`, fill(p.ink), pixels(p.opacity))
	}
}

func (p *shape) writeSVG(b *bytes.Buffer) {
	at := p.points[0]
	tag := ""
	switch p.kind {
	case line:
		tag = "polyline"
		fmt.Fprintf(b, `<polyline points="%s"`, list(p.points))
	case area:
		tag = "polygon"
		fmt.Fprintf(b, `<polygon points="%s"`, list(p.points))
	case dot:
		tag = "circle"
		fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="%s"`, pixels(at.x), pixels(at.y), pixels(p.size))
	case text:
		tag = "text"
		fmt.Fprintf(b, `<text x="%s" y="%s"`, pixels(at.x), pixels(at.y))
	}
	inner := html.EscapeString(p.text)
	if p.note != "" {
		inner += "<title>" + html.EscapeString(p.note) + "</title>"
	}
	if inner == "" {
		b.WriteString("/>\n")
		return
	}
	fmt.Fprintf(b, ">%s</%s>\n", inner, tag)
}

func fill(c ink) string { return fmt.Sprintf(`fill="%s" style="--D:%s"`, hex(c.light), hex(c.dark)) }

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// pixels writes a length to a tenth of a pixel, an opacity to a tenth.
func pixels(v float64) string { return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) }

func list(points []point) string {
	var b bytes.Buffer
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pixels(p.x) + "," + pixels(p.y))
	}
	return b.String()
}
