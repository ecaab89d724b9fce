package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"efcn/internal/chart"
)

// addedSections draws the tables in a folder that efcn interpolate and efcn measure
// --spectrum wrote there: what lies between models, and the singular values of what
// layers have outside their support. A table is known by its header; others are left.
func addedSections(dir string) ([]*section, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	paths := &section{ID: "paths", Title: "Paths between models", Text: []string{
		"Loss and accuracy of the models on a path from A (t = 0) to B (t = 1), as efcn interpolate measured them.",
	}}
	spectra := &section{ID: "spectra", Title: "Spectra outside the support", Text: []string{
		"The largest singular values of what each layer's matrix has outside its support, as efcn measure " +
			"found them, and the share of the sum of all their squares that the first of them have.",
	}}
	for _, f := range files {
		name, isCSV := strings.CutSuffix(f.Name(), ".csv")
		if !isCSV || !f.Type().IsRegular() {
			continue
		}
		file := filepath.Join(dir, f.Name())
		t, err := readCSV(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		switch {
		case t == nil:
		case t.header[0] == "t":
			err = paths.addPath(name, t)
		default:
			err = spectra.addSpectra(name, t)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return []*section{paths.unlessEmpty(), spectra.unlessEmpty()}, nil
}

// csvTable is a table of one of the kinds that are drawn.
type csvTable struct {
	header []string
	rows   [][]string
}

// spectrumHeader is the header of a table of singular values.
var spectrumHeader = []string{"node", "op", "layout", "rank", "singular_value", "energy"}

// readCSV reads a table of a kind that is drawn, nil of another kind.
func readCSV(path string) (*csvTable, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	in := csv.NewReader(bytes.NewReader(text))
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	isPath := len(header) > 1 && header[0] == "t" && strings.HasSuffix(header[1], "_loss")
	if err != nil || !isPath && !slices.Equal(header, spectrumHeader) {
		return nil, nil // somebody else's table
	}
	rows, err := in.ReadAll()
	if err == nil && len(rows) == 0 {
		return nil, nil
	}
	return &csvTable{header, rows}, err
}

// column returns the numbers of a column.
func (t *csvTable) column(i int) ([]float64, error) {
	values := make([]float64, len(t.rows))
	for r, row := range t.rows {
		v, err := strconv.ParseFloat(row[i], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is no number", r+2, row[i])
		}
		values[r] = v
	}
	return values, nil
}

// addPath draws the losses and the accuracies on a path.
func (s *section) addPath(name string, t *csvTable) error {
	at, err := t.column(0)
	if err != nil {
		return err
	}
	loss := &chart.Chart{Title: "loss, " + name, X: "t, from A (0) to B (1)", Y: "cross-entropy"}
	accuracy := &chart.Chart{Title: "accuracy, " + name, X: loss.X, Y: "accuracy (%)"}
	for i, column := range t.header[1:] {
		values, err := t.column(i + 1)
		if err != nil {
			return err
		}
		what, quantity, _ := strings.Cut(column, "_")
		switch quantity {
		case "loss":
			loss.Lines = append(loss.Lines, chart.Line{Name: what, X: at, Y: values})
		case "top1":
			for j := range values {
				values[j] *= 100
			}
			accuracy.Lines = append(accuracy.Lines, chart.Line{Name: what, X: at, Y: values})
		}
	}
	barrier := func(l chart.Line) string {
		return fmt.Sprintf("the barrier of the %s loss, how far it rises above its greater end, is %s", l.Name,
			short(math.Max(0, slices.Max(l.Y)-math.Max(l.Y[0], l.Y[len(l.Y)-1]))))
	}
	caption := name + ".csv"
	for i, l := range loss.Lines {
		caption += []string{": ", "; "}[min(i, 1)] + barrier(l)
	}
	s.draw(loss, caption+".")
	s.draw(accuracy, name+".csv.")
	return nil
}

// addSpectra draws the singular values of layers, and the energy in the first of them.
func (s *section) addSpectra(name string, t *csvTable) error {
	rank, err := t.column(3)
	if err != nil {
		return err
	}
	value, err := t.column(4)
	if err != nil {
		return err
	}
	energy, err := t.column(5)
	if err != nil {
		return err
	}
	values := &chart.Chart{Title: "singular values, " + name, X: "number of the value", Y: "singular value"}
	shares := &chart.Chart{Title: "energy in the first values, " + name, X: "first so many values", Y: "energy (%)"}
	at := map[string]int{}
	for i, row := range t.rows {
		node := row[0]
		line, ok := at[node]
		if !ok {
			line = len(values.Lines)
			at[node] = line
			values.Lines = append(values.Lines, chart.Line{Name: node})
			shares.Lines = append(shares.Lines, chart.Line{Name: node})
		}
		v, e := &values.Lines[line], &shares.Lines[line]
		v.X, v.Y = append(v.X, rank[i]), append(v.Y, value[i])
		e.X, e.Y = append(e.X, rank[i]), append(e.Y, 100*energy[i])
	}
	s.draw(values, name+".csv: layer by layer.")
	s.draw(shares, name+".csv: the share of the sum of squares outside the support that a product of that rank can have.")
	return nil
}
