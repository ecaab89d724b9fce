package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func example() *Chart {
	return &Chart{
		Title: "accuracy", X: "relax time (epochs)", Y: "test accuracy (%)",
		Lines: []Line{
			{
				Name: "eFCN", X: []float64{0, 1, 2, 3}, Y: []float64{77, 78, math.NaN(), 79},
				Spread: []float64{1, 0.5, math.NaN(), 0.2},
			},
			{Name: "eLCN", X: []float64{0, 1}, Y: []float64{76, 75}, Dashed: true},
		},
		Levels: []Level{{Name: "CNN", Y: 76, Spread: 0.3}},
		Ticks:  []Tick{{0, "0"}, {1, "1"}, {2, "10"}, {3, "100"}},
	}
}

func TestSVGIsWellFormedAndNamesItsLines(t *testing.T) {
	var b bytes.Buffer
	if err := example().Write(&b, "svg"); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	d := xml.NewDecoder(&b)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"eFCN", "eLCN", "CNN", "relax time (epochs)", "test accuracy (%)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
}

func TestPNGShowsEveryLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.png")
	if err := example().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[3]uint32]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r >> 8, g >> 8, b >> 8}] = true
		}
	}
	for i := range 3 {
		if c := colors[i].light; !seen[[3]uint32{uint32(c.R), uint32(c.G), uint32(c.B)}] {
			t.Errorf("no pixel has colour %d", i)
		}
	}
}

func TestRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jpg")
	if err := example().WriteFile(path); err == nil || !strings.Contains(err.Error(), ".svg or .png") {
		t.Errorf("a .jpg: %v", err)
	}
	for name, c := range map[string]*Chart{
		"no lines":        {Title: "a"},
		"no finite value": {Title: "a", Lines: []Line{{X: []float64{1}, Y: []float64{math.NaN()}}}},
		"unequal lengths": {Title: "a", Lines: []Line{{X: []float64{1, 2}, Y: []float64{1}}}},
		"unequal spreads": {Title: "a", Lines: []Line{{X: []float64{1}, Y: []float64{1}, Spread: []float64{1, 2}}}},
	} {
		if err := c.Write(io.Discard, "svg"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
