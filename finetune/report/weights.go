package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"efcn/convert/record"
	"efcn/finetune/relax"
	"efcn/internal/chart"
	"efcn/onnxio"
)

// Of each layer as many hidden units are drawn, in as many layers.
const (
	drawnUnits  = 4
	drawnLayers = 3
)

// weights draws the weights of hidden units before and after relaxation: of the
// first seed, at the relax time that ends highest, with those of the FCN beside
// them.
func (s *study) weights() (*section, error) {
	var best *relax.Summary
	for _, sum := range groups(s.sums, s.folder.Settings.Embedded()[0]) {
		if sum.FinalTop1 != nil && (best == nil || sum.FinalTop1.Mean > best.FinalTop1.Mean) {
			best = sum
		}
	}
	if best == nil {
		return nil, nil
	}
	var efcn, fcn []column
	for _, r := range s.folder.Results {
		if r.Seed == nil || *r.Seed != s.folder.Settings.Seed || r.Failed != "" {
			continue
		}
		switch {
		case r.Kind == best.Kind && *r.RelaxEpoch == *best.RelaxEpoch:
			efcn = []column{
				{fmt.Sprintf("eFCN from %d, embedded", *r.RelaxEpoch), r.Run + "/start.onnx"},
				{"after training", r.Run + "/model.onnx"},
			}
		case r.Kind == relax.FCN:
			fcn = []column{{"FCN, at the start", r.Run + "/start.onnx"}, {"after training", r.Run + "/model.onnx"}}
		}
	}
	columns := append(efcn, fcn...)
	return drawWeights(s.model, columns)
}

// column is a model whose weights are drawn beside those of others.
type column struct{ title, file string }

// drawWeights draws units of the convolutions of several eFCNs of one
// architecture. A model that is missing has no pictures.
func drawWeights(open func(file string) (*onnxio.Model, error), columns []column) (*section, error) {
	var models []*onnxio.Model
	var titles []string
	var rec *record.Record
	for _, c := range columns {
		m, err := open(c.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if rec == nil {
			if rec, err = record.Read(m); err != nil {
				return nil, err
			}
		}
		models, titles = append(models, m), append(titles, c.title)
	}
	if rec == nil {
		return nil, nil
	}
	part := &section{ID: "weights", Title: "Weights of hidden units", Text: []string{
		"Each picture is a row of a layer's matrix, the weights of one hidden unit, over the positions of one channel of " +
			"the layer's input; the line is its support, what the convolution could see. Red is positive, blue negative, " +
			"white zero, the colour as strong as the square root of the weight; the pictures of a row of this table have " +
			"one scale. The units are those of the first channels, in the middle of the image.",
	}}
	for i := range rec.Layers {
		l := &rec.Layers[i]
		if len(part.Galleries) == drawnLayers {
			break
		}
		g, err := drawLayer(models, titles, l)
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Node, err)
		}
		if g != nil {
			part.Galleries = append(part.Galleries, g)
		}
	}
	if len(part.Galleries) == 0 {
		return nil, nil
	}
	return part, nil
}

// drawLayer draws units of one layer, nil if it is no dense convolution.
func drawLayer(models []*onnxio.Model, titles []string, l *record.Layer) (*gallery, error) {
	if l.Op != "Conv" || l.Layout != record.Dense || len(l.InputShape) < 2 {
		return nil, nil
	}
	m, err := l.Support()
	if err != nil || m == nil {
		return nil, err
	}
	middle := centre(l.OutputShape[1:])
	units := min(drawnUnits, m.OutChannels)
	var rows []int
	for o := range units {
		rows = append(rows, o*m.Taps.Out+middle)
	}
	drawn, err := readUnits(models, l.Weight, m.Rows(), m.Cols(), rows)
	if err != nil {
		return nil, err
	}
	g := &gallery{
		Caption: fmt.Sprintf("%s (%s): %s → %s", l.Node, l.Op, shape(l.InputShape), shape(l.OutputShape)),
		Header:  titles,
	}
	outline := make([]bool, m.Taps.In)
	for _, tap := range m.Taps.At(middle, nil) {
		outline[tap.In] = true
	}
	perGroup := m.InChannels / m.Groups
	for u := range units {
		first := u / (m.OutChannels / m.Groups) * perGroup
		channel := heaviest(drawn[0][u], first, perGroup, m.Taps.In)
		var weights [][]float32
		for i := range models {
			weights = append(weights, drawn[i][u][channel*m.Taps.In:(channel+1)*m.Taps.In])
		}
		row := tileRow{Unit: fmt.Sprintf("unit %d, input channel %d", u, channel)}
		tiles, err := drawTiles(l.InputShape, weights, outline)
		if err != nil {
			return nil, err
		}
		for i, png := range tiles {
			alt := fmt.Sprintf("weights of unit %d of %s: %s", u, l.Node, titles[i])
			row.Tiles = append(row.Tiles, tile{Image: dataURL("image/png", png), Alt: alt})
		}
		g.Rows = append(g.Rows, row)
	}
	return g, nil
}

// readUnits returns those rows of the weights of that name, by model and row. They are a
// float32 matrix of that shape in every model.
func readUnits(models []*onnxio.Model, name string, height, width int, rows []int) ([][][]float32, error) {
	units := make([][][]float32, len(models))
	for i, model := range models {
		t := model.Graph.Initializer(name)
		if t == nil || t.Type != onnxio.Float32 || !slices.Equal(t.Dims, []int64{int64(height), int64(width)}) {
			return nil, fmt.Errorf("weights %q are not a dense matrix in every model", name)
		}
		var err error
		if units[i], err = readRows(t, width, rows); err != nil {
			return nil, err
		}
	}
	return units, nil
}

// drawTiles returns a PNG of each list of weights, over the positions of an input of
// shape C×…×W, all in the scale of the largest.
func drawTiles(input []int64, weights [][]float32, outline []bool) ([][]byte, error) {
	last := len(input) - 1
	scale := 0.0
	for _, w := range weights {
		for _, v := range w {
			scale = max(scale, math.Abs(float64(v)))
		}
	}
	var tiles [][]byte
	for _, w := range weights {
		tile := chart.Tile{
			Rows: int(product(input[1:last])), Cols: int(input[last]), Values: w, Scale: scale, Outline: outline,
		}
		var b bytes.Buffer
		if err := tile.WritePNG(&b); err != nil {
			return nil, err
		}
		tiles = append(tiles, b.Bytes())
	}
	return tiles, nil
}

// centre is the number of the position in the middle of a shape.
func centre(dims []int64) int {
	at := int64(0)
	for _, d := range dims {
		at = at*d + d/2
	}
	return int(at)
}

// heaviest is the input channel, of n from first, that a row has the largest
// weights in.
func heaviest(row []float32, first, n, size int) int {
	best, most := first, -1.0
	for c := first; c < first+n; c++ {
		sum := 0.0
		for _, v := range row[c*size : (c+1)*size] {
			sum += float64(v) * float64(v)
		}
		if sum > most {
			best, most = c, sum
		}
	}
	return best
}

// readRows returns rows, ascending, of a float32 matrix without holding the rest
// of it.
func readRows(t *onnxio.Tensor, cols int, rows []int) ([][]float32, error) {
	found := make([][]float32, 0, len(rows))
	r := 0
	for row, err := range onnxio.FloatBlocks[float32](t, cols) {
		if err != nil {
			return nil, err
		}
		if len(found) == len(rows) {
			break
		}
		if r == rows[len(found)] && len(row) == cols {
			found = append(found, slices.Clone(row))
		}
		r++
	}
	if len(found) != len(rows) {
		return nil, fmt.Errorf("weights %q end early", t.Name)
	}
	return found, nil
}
