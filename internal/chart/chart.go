// Package chart draws the figures of this program, lines with bands of error
// over one axis, as SVG or PNG.
//
// Start with a [Chart] and its WriteFile. Where every line, dot and word goes is decided
// once (layout.go); svg.go and png.go write what came of it. Figures are small enough to
// be read on a phone: several narrow ones stand side by side on a wide screen.
package chart

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"efcn/internal/atomicfile"
)

// Chart is one figure. Its lines take the colours of the palette in order, followed by
// its levels; where the colours repeat, lines are dashed.
type Chart struct {
	Title string
	X, Y  string // what the axes show, with the unit
	Lines []Line
	// Levels are values that do not depend on x, drawn as horizontal lines.
	Levels []Level
	// Ticks name places along x. Default (nil): round numbers.
	Ticks []Tick
	// Floor is where the y axis begins. Lines are cut off there, and points below
	// marked with their values where they are few. Default (nil): all is shown.
	Floor *float64
	// Sequence says what the lines are the steps of, such as "relaxed at epoch": their
	// colours are those of a sequential scale, by Line.Shade. Default (""): they are of
	// different kinds.
	Sequence string
}

// Line is a curve through points; where Y is NaN, it is interrupted.
type Line struct {
	Name string
	X, Y []float64
	// Spread is the half height of a band around the curve, such as a standard
	// deviation. Default (nil) none.
	Spread []float64
	Dashed bool
	// Shade is the place on the scale of Chart.Sequence, from 0 to 1.
	Shade float64
	// Reference draws the line in grey: what others are compared with.
	Reference bool
}

// Level is a value with the half height of its band; 0 for none.
type Level struct {
	Name      string
	Y, Spread float64
}

// Tick names a place along x.
type Tick struct {
	X    float64
	Name string
}

// WriteFile draws the chart into a file, in the format that its name ends with:
// .svg or .png. The file appears whole or not at all.
func (c *Chart) WriteFile(path string) error {
	if err := CheckFormat(path); err != nil {
		return err
	}
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
	return atomicfile.Write(path, func(w io.Writer) error { return c.Write(w, format) })
}

// CheckFormat returns an error unless WriteFile can draw a file of that name.
func CheckFormat(path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg", ".png":
		return nil
	}
	return fmt.Errorf("%s: the name of a picture ends with .svg or .png", path)
}

// Write writes the chart in a format: drawn as "svg" or "png", or its points as "csv".
func (c *Chart) Write(w io.Writer, format string) error {
	write := map[string]func(s *scene, w io.Writer) error{
		"svg": (*scene).writeSVG, "png": (*scene).writePNG,
		"csv": func(_ *scene, w io.Writer) error { return c.writeCSV(w) },
	}[format]
	if write == nil {
		return fmt.Errorf("chart %q: format %q: want svg, png or csv", c.Title, format)
	}
	s, err := c.layout()
	if err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	return write(s, w)
}

// Banded reports whether the lines are drawn with bands: more than a few would hide
// each other, and so would those of the steps of a sequence, which lie close together.
func (c *Chart) Banded() bool {
	if c.Sequence != "" {
		return false
	}
	bands := 0
	for _, l := range c.Lines {
		for _, s := range l.Spread {
			if s > 0 {
				bands++
				break
			}
		}
	}
	for _, l := range c.Levels {
		if l.Spread > 0 {
			bands++
		}
	}
	return bands > 0 && bands <= mostBands
}

const mostBands = 4

// check refuses what cannot be drawn.
func (c *Chart) check() error {
	drawn := false
	for _, l := range c.Lines {
		if len(l.X) != len(l.Y) || l.Spread != nil && len(l.Spread) != len(l.Y) {
			return fmt.Errorf("line %q: %d places, %d values and %d spreads", l.Name, len(l.X), len(l.Y), len(l.Spread))
		}
		for i, x := range l.X {
			if !finite(x) {
				return fmt.Errorf("line %q: a point at x = %g", l.Name, x)
			}
			drawn = drawn || finite(l.Y[i])
		}
	}
	for _, l := range c.Levels {
		drawn = drawn || finite(l.Y)
	}
	if !drawn {
		return errors.New("nothing to draw")
	}
	return nil
}

// writeCSV writes a row for every point with all digits, and one for every level, which
// has no x. A point that has no value has none here.
func (c *Chart) writeCSV(w io.Writer) error {
	digits := func(v float64) string {
		if !finite(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	place := map[float64]string{}
	for _, t := range c.Ticks {
		place[t.X] = t.Name
	}
	rows := [][]string{{"line", c.X, c.Y, "spread"}}
	for _, l := range c.Lines {
		for i, x := range l.X {
			row := []string{l.Name, digits(x), digits(l.Y[i]), ""}
			if name, ok := place[x]; ok {
				row[1] = name
			}
			if l.Spread != nil {
				row[3] = digits(l.Spread[i])
			}
			rows = append(rows, row)
		}
	}
	for _, l := range c.Levels {
		rows = append(rows, []string{l.Name, "", digits(l.Y), digits(l.Spread)})
	}
	return csv.NewWriter(w).WriteAll(rows)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
