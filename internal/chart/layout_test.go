package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"
)

// charts are of every kind that the program draws.
func charts() map[string]*Chart {
	floor := 70.0
	few := func(name string, y ...float64) Line {
		l := Line{Name: name, Y: y}
		for i := range y {
			l.X, l.Spread = append(l.X, float64(i)), append(l.Spread, 0.4)
		}
		return l
	}
	sequence := &Chart{
		Title: "test accuracy, eFCN", X: "epochs since the CNN began", Y: "test accuracy (%)",
		Sequence: "relaxed at epoch", Lines: []Line{{Name: "CNN", X: []float64{0, 1}, Y: []float64{60, 70}, Reference: true}},
	}
	high := &Chart{Title: "a", X: "x", Y: "y"} // whose names are all wanted at the top
	for i := range 7 {
		high.Lines = append(high.Lines, few(fmt.Sprint("line ", i), 0, 1))
	}
	for i, at := range []int{0, 1, 2, 5, 10, 20, 40, 100} {
		l := few(fmt.Sprint(at), 70+float64(i), 71, 72)
		l.Shade = float64(i) / 7
		sequence.Lines = append(sequence.Lines, l)
	}
	long := &Chart{Title: strings.Repeat("test accuracy at the end ", 4), X: "x", Y: "y"}
	many := &Chart{Title: "a", X: "x", Y: "y"}
	for i := range 20 {
		many.Lines = append(many.Lines, few(fmt.Sprint("/conv", i), 1, 1, float64(i%3)))
		if i < 3 {
			long.Lines = append(long.Lines, few(fmt.Sprint("eFCN, factored 16 (gradient), restarted every ", i), 1, 2))
		}
	}
	return map[string]*Chart{
		"example": example(), "ends at the top": high, "sequence": sequence, "long names": long, "many names": many,
		"floor": {
			Title: "test accuracy at the end", X: "relax time (epochs)", Y: "test accuracy (%)", Floor: &floor,
			Lines:  []Line{few("eFCN", 77, 78, 79), few("CNN when embedded", 7.3, 75, 76)},
			Levels: []Level{{Name: "CNN", Y: 76, Spread: 0.3}, {Name: "FCN", Y: 76.1, Spread: 0.3}},
			Ticks:  []Tick{{0, "0"}, {1, "10"}, {2, "100"}},
		},
		"all below": {
			Title: "a", X: "x", Y: "y", Floor: &floor, Lines: []Line{few("eFCN", 71, 72), few("CNN when embedded", 7, 30)},
		},
		"one point":    {Title: "a", X: "epoch", Y: "loss", Lines: []Line{few("train", 0.3)}},
		"zeros":        {Title: "a", X: "epoch", Y: "d", Lines: []Line{few("", 0, 0, 0)}},
		"large values": {Title: "a", X: "epoch", Y: "bytes", Lines: []Line{few("a", 1e6, 2e6, 3e12)}},
		"small values": {Title: "a", X: "epoch", Y: "s", Lines: []Line{few("a", 1e-7, 2e-7, 3e-7)}},
		"levels alone": {Title: "a", X: "epoch", Y: "s", Levels: []Level{{Name: "CNN", Y: 3}}},
	}
}

type box struct{ left, top, right, bottom float64 }

func (p *shape) box() box {
	w, at := widthOf(p.text, p.size), p.points[0]
	left := at.x - w*[]float64{0, 0.5, 1}[p.anchor]
	return box{left, at.y - 0.7*p.size, left + w, at.y + 0.15*p.size}
}

// Every text is within the picture, and no text is on another.
func TestTextsDoNotMeet(t *testing.T) {
	for name, c := range charts() {
		s, err := c.layout()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var texts []shape
		for _, p := range s.shapes {
			for _, q := range p.points {
				if q.x < 0 || q.x > s.width || q.y < 0 || q.y > s.height || !finite(q.x) || !finite(q.y) {
					t.Errorf("%s: a shape at %v is outside of %g×%g", name, q, s.width, s.height)
				}
			}
			if p.kind == text {
				texts = append(texts, p)
			}
		}
		if len(texts) < 5 {
			t.Errorf("%s: %d texts", name, len(texts))
		}
		for i, p := range texts {
			a := p.box()
			if a.left < 0 || a.right > s.width || a.top < 0 || a.bottom > s.height {
				t.Errorf("%s: %q at %v is not within %g×%g", name, p.text, a, s.width, s.height)
			}
			for _, q := range texts[:i] {
				if b := q.box(); a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom {
					t.Errorf("%s: %q is on %q", name, p.text, q.text)
				}
			}
		}
	}
}

// Bands are under all lines, and left out where they would hide each other.
func TestBandsAreUnderLines(t *testing.T) {
	for name, c := range charts() {
		s, err := c.layout()
		if err != nil {
			t.Fatal(err)
		}
		bands, lines := 0, 0
		for _, p := range s.shapes {
			switch {
			case p.kind == area && p.opacity < 1:
				bands++
				if lines > 0 {
					t.Errorf("%s: a band is drawn over a line", name)
				}
			case p.kind == line && p.size >= 1.3:
				lines++
			}
		}
		if want := c.Banded(); (bands > 0) != want && name != "one point" {
			t.Errorf("%s: %d bands; want some: %t", name, bands, want)
		}
	}
	if c := charts(); !c["floor"].Banded() || c["many names"].Banded() {
		t.Error("bands are drawn for many lines, or not for four")
	}
}

func TestFloor(t *testing.T) {
	got := above([]point{{0, 0}, {1, 4}, {2, 4}, {3, 0}, {4, 0}, {5, 8}}, 2)
	want := [][]point{{{0.5, 2}, {1, 4}, {2, 4}, {2.5, 2}}, {{4.25, 2}, {5, 8}}}
	if !slices.EqualFunc(got, want, slices.Equal[[]point]) {
		t.Errorf("%v; want %v", got, want)
	}
	var b bytes.Buffer
	if err := charts()["floor"].Write(&b, "svg"); err != nil {
		t.Fatal(err)
	}
	// The point that is cut off has its value at the edge.
	if !strings.Contains(b.String(), ">7.30</text>") {
		t.Error("the value below the floor is not there")
	}
	// No line crosses it: the ground is between, and a value at the end stands left of its mark.
	for _, name := range []string{"floor", "all below"} {
		scene, err := charts()[name].layout()
		if err != nil {
			t.Fatal(err)
		}
		values, curves := 0, 0
		for i, p := range scene.shapes {
			switch {
			case p.kind == line && p.size > 1:
				curves = i
			case p.kind == text && p.size == textSize-1:
				values++
				if under := scene.shapes[i-1]; i < curves || under.kind != area || under.ink != paper {
					t.Errorf("%s: a line may cross %q", name, p.text)
				}
			}
		}
		if values == 0 {
			t.Errorf("%s: no value below the floor", name)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		whole     bool
		want      string
	}{
		{0, 1, false, "0 0.2 0.4 0.6 0.8 1.0"},
		{76.3, 79.4, false, "76.5 77.0 77.5 78.0 78.5 79.0"},
		{78.1, 79.3, false, "78.2 78.4 78.6 78.8 79.0 79.2"},
		{-0.03, 1.03, true, "0 1"},
		{0, 3, true, "0 1 2 3"},
		{-3, 103, true, "0 20 40 60 80 100"},
		{0, 0.00397, false, "0 0.001 0.002 0.003"},
		{0, 3e6, false, "0 500,000 1,000,000 1,500,000 2,000,000 2,500,000 3,000,000"},
		{-1, 1, false, "−1.0 −0.5 0 0.5 1.0"},
		{0, 3e-7, false, "0 5e−08 1e−07 1.5e−07 2e−07 2.5e−07 3e−07"},
	} {
		var names []string
		for _, k := range ticks(c.low, c.high, 5, c.whole) {
			names = append(names, k.Name)
			if k.X < c.low-1e-12 || k.X > c.high*(1+1e-12) {
				t.Errorf("a tick at %g, which is not between %g and %g", k.X, c.low, c.high)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%g to %g: %s; want %s", c.low, c.high, got, c.want)
		}
	}
}

// An axis of what cannot be negative is not, and one value has an axis around it.
func TestRange(t *testing.T) {
	for _, c := range []struct{ low, high, from, to float64 }{
		{0, 1, 0, 1.07}, {0.1, 1, 0, 1.063}, {70, 80, 69.3, 80.7}, {5, 5, 4.5, 5.5}, {0, 0, 0, 1}, {-1, 1, -1.14, 1.14},
	} {
		from, to := widen(c.low, c.high)
		if math.Abs(from-c.from) > 1e-9 || math.Abs(to-c.to) > 1e-9 {
			t.Errorf("%g to %g: %g to %g; want %g to %g", c.low, c.high, from, to, c.from, c.to)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v        float64
		decimals int
		want     string
	}{
		{0, 0, "0"},
		{999, 0, "999"},
		{1000, 0, "1,000"},
		{-1234567.891, 2, "−1,234,567.89"},
		{-0.001, 2, "0.00"},
		{math.NaN(), 2, "NaN"},
		{math.Inf(-1), 0, "-Inf"},
	} {
		if got := Number(c.v, c.decimals); got != c.want {
			t.Errorf("%g: %q; want %q", c.v, got, c.want)
		}
	}
}

// The steps of a sequence grow lighter, on white and on a dark page, and differ enough
// from it to be seen: 1.4 to 1 at the least, and 3 to 1 up to three quarters.
func TestSequentialColours(t *testing.T) {
	before := [2]float64{-1, -1}
	for i := range 21 {
		at := float64(i) / 20
		c := sequential(at)
		for j, one := range []struct{ of, on color.NRGBA }{{c.light, paper.light}, {c.dark, paper.dark}} {
			l, back := luminance(one.of), luminance(one.on)
			if l <= before[j] {
				t.Errorf("step %d of scale %d is not lighter than the one before", i, j)
			}
			before[j] = l
			contrast := (max(l, back) + 0.05) / (min(l, back) + 0.05)
			if contrast < 1.4 || contrast < 3 && j == 0 && at < 0.7 {
				t.Errorf("step %g of scale %d has contrast %.2f", at, j, contrast)
			}
		}
	}
}

// luminance is the relative luminance of WCAG 2.
func luminance(c color.NRGBA) float64 {
	linear := func(b uint8) float64 {
		v := float64(b) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := example().Write(&b, "csv"); err != nil {
		t.Fatal(err)
	}
	want := `line,relax time (epochs),test accuracy (%),spread
eFCN,0,77,1
eFCN,1,78,0.5
eFCN,10,,
eFCN,100,79,0.2
eLCN,0,76,
eLCN,1,75,
CNN,,76,0.3
`
	if got := b.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// What a point says where the pointer rests on it.
func TestNotes(t *testing.T) {
	var b bytes.Buffer
	if err := charts()["floor"].WriteInline(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<title>eFCN, relax time 10: 78.00 ± 0.40</title>", "<title>CNN when embedded, relax time 0: 7.30 ± 0.40</title>",
		"<title>CNN: 76.00 ± 0.30</title>",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}
