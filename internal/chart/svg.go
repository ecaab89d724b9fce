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
// dark colour in --d. Programs that know no style sheets draw the light one. A page that
// holds the picture has the same rules for what it prints, and others.
const darkStyle = `<style>@media (prefers-color-scheme:dark){.l{stroke:var(--d)}.f{fill:var(--d)}}</style>`

// writeSVG writes the scene as a picture of its own.
func (s *scene) writeSVG(w io.Writer) error {
	return s.writeMarkup(w, darkStyle)
}

// WriteInline writes the chart as the SVG that stands in a page, which has to style it:
// the outlines of the class l and the fillings of the class f have the colour --d where
// the page is dark.
func (c *Chart) WriteInline(w io.Writer) error {
	s, err := c.layout()
	if err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	return s.writeMarkup(w, "")
}

func (s *scene) writeMarkup(w io.Writer, style string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" `+
		`role="img" aria-label="%s" font-family="'Liberation Sans',Arial,Helvetica,sans-serif">%s`,
		pixels(s.width), pixels(s.height), html.EscapeString(s.title), style)
	fmt.Fprintf(&b, "\n<rect class=\"f\" width=\"%s\" height=\"%s\" %s/>\n", pixels(s.width), pixels(s.height),
		fill(paper))
	for _, p := range s.shapes {
		p.writeSVG(&b)
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

func (p *shape) writeSVG(b *bytes.Buffer) {
	at := p.points[0]
	tag := ""
	switch p.kind {
	case line:
		tag = "polyline"
		fmt.Fprintf(b, `<polyline class="l" fill="none" stroke="%s" style="--d:%s" stroke-width="%s" points="%s"`,
			hex(p.ink.light), hex(p.ink.dark), pixels(p.size), list(p.points))
		if p.dashed {
			b.WriteString(` stroke-dasharray="5 3"`)
		}
	case area:
		tag = "polygon"
		fmt.Fprintf(b, `<polygon class="f" %s fill-opacity="%s" points="%s"`, fill(p.ink), pixels(p.opacity),
			list(p.points))
	case dot:
		tag = "circle"
		if p.opacity == 0 {
			fmt.Fprintf(b, `<circle fill-opacity="0" cx="%s" cy="%s" r="%s"`, pixels(at.x), pixels(at.y), pixels(p.size))
		} else {
			fmt.Fprintf(b, `<circle class="f" %s cx="%s" cy="%s" r="%s"`, fill(p.ink), pixels(at.x), pixels(at.y),
				pixels(p.size))
		}
	case text:
		tag = "text"
		fmt.Fprintf(b, `<text class="f" %s x="%s" y="%s" font-size="%s" text-anchor="%s"`, fill(p.ink), pixels(at.x),
			pixels(at.y), pixels(p.size), []string{"start", "middle", "end"}[p.anchor])
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

func fill(c ink) string { return fmt.Sprintf(`fill="%s" style="--d:%s"`, hex(c.light), hex(c.dark)) }

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
