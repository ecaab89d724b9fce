package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/color"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"
)

func TestTile(t *testing.T) {
	tile := Tile{
		Rows: 2, Cols: 3,
		Values:  []float32{0, 1, -1, float32(math.NaN()), 0.25, 2},
		Scale:   1,
		Outline: []bool{false, true, true, false, false, false},
	}
	var b bytes.Buffer
	if err := tile.WritePNG(&b); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	cell := img.Bounds().Dx() / 3
	if img.Bounds().Dy() != 2*cell {
		t.Fatalf("%v", img.Bounds())
	}
	red, blue := color.NRGBA{178, 24, 43, 255}, color.NRGBA{33, 102, 172, 255}
	white, black := color.NRGBA{255, 255, 255, 255}, color.NRGBA{0, 0, 0, 255}
	at := func(r, c, dy, dx int) color.Color { return color.NRGBAModel.Convert(img.At(c*cell+dx, r*cell+dy)) }
	half := cell / 2
	for i, check := range []struct {
		got  color.Color
		want color.NRGBA
	}{
		{at(0, 0, half, half), white},
		{at(0, 1, half, half), red},
		{at(0, 2, half, half), blue},
		{at(1, 0, half, half), color.NRGBA{128, 128, 128, 255}},
		{at(1, 1, half, half), color.NRGBA{217, 140, 149, 255}}, // half of the way
		{at(1, 2, half, half), red},                             // beyond the scale
		{at(0, 1, half, 0), black},
		{at(0, 1, 0, half), black},
		{at(0, 1, cell-1, half), black},
		{at(0, 1, half, cell-1), red}, // both sides are marked
		{at(0, 2, half, cell-1), black},
		{at(0, 0, 0, 0), white},
	} {
		if check.got != check.want {
			t.Errorf("place %d: %v, want %v", i, check.got, check.want)
		}
	}
	if (&Tile{Rows: 2, Cols: 2, Values: []float32{1}}).WritePNG(io.Discard) == nil {
		t.Error("one value for 2×2: no error")
	}
}

// The matrix of a convolution in one dimension: its weights run down diagonals.
func TestTileSVG(t *testing.T) {
	tile := Tile{Rows: 3, Cols: 4, Values: []float32{
		1, -2, 0, 0,
		0, 1, -2, 0,
		0, 0, 1, 3,
	}}
	var b bytes.Buffer
	if err := tile.WriteSVG(&b, "a <matrix>"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`viewBox="-1 -1 6 5"`, `aria-label="a &lt;matrix&gt;"`, ` d="M0 0l3 3"/>`, ` d="M1 0l2 2"/>`, ` d="M3 2l1 1"/>`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "<path "); n != 3 {
		t.Errorf("%d colours; want 3", n)
	}
	if err := xml.Unmarshal(b.Bytes(), new(struct{})); err != nil {
		t.Error(err)
	}
	if (&Tile{Rows: 2, Cols: 2, Values: []float32{1}}).WriteSVG(io.Discard, "") == nil {
		t.Error("values are missing: no error")
	}
	fine := Tile{Rows: 1, Cols: mostStrokes + 1, Values: make([]float32, mostStrokes+1)}
	for i := range fine.Values {
		fine.Values[i] = float32(i + 1)
	}
	var tooFine *TooFineError
	if err := fine.WriteSVG(io.Discard, ""); !errors.As(err, &tooFine) || tooFine.Strokes != mostStrokes+1 {
		t.Errorf("too many strokes: %v", err)
	}
}
