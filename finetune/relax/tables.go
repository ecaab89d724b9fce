package relax

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"efcn/convert/record"
	"efcn/finetune"
)

// column is a column of a table: its name and what stands in it.
type column[T any] struct {
	name string
	cell func(row T) string
}

func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

func whole[T int | int64 | uint64](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

// known is a number that is 0 where it is not known.
func known(n int64) string {
	if n == 0 {
		return ""
	}
	return whole(&n)
}

func top1(m *finetune.Metrics) *float64 {
	if m == nil {
		return nil
	}
	return &m.Top1
}

func loss(m *finetune.Metrics) *float64 {
	if m == nil {
		return nil
	}
	return &m.Loss
}

func (s *State) distance() *float64 {
	if s.Deviation == nil {
		return nil
	}
	return &s.Deviation.Distance
}

func (s *State) offLocal() *float64 {
	if s.Deviation == nil {
		return nil
	}
	return &s.Deviation.OffLocal
}

// count is one of the counts of a deviation, nil where there is none.
func count(d *record.Deviation, of func(c *record.Counts) *int64) string {
	if d == nil {
		return ""
	}
	return whole(of(&d.Counts))
}

var resultColumns = []column[*Result]{
	{"run", func(r *Result) string { return r.Run }},
	{"file", func(r *Result) string { return r.File }},
	{"kind", func(r *Result) string { return string(r.Kind) }},
	{"seed", func(r *Result) string { return whole(r.Seed) }},
	{"relax_epoch", func(r *Result) string { return whole(r.RelaxEpoch) }},
	{"weight_bytes", func(r *Result) string { return known(r.WeightBytes) }},
	{"epochs", func(r *Result) string { return whole(&r.Epochs) }},
	{"start_test_loss", func(r *Result) string { return number(loss(r.Start.Test)) }},
	{"start_test_top1", func(r *Result) string { return number(top1(r.Start.Test)) }},
	{"final_train_loss", func(r *Result) string { return number(loss(r.Final.Train)) }},
	{"final_train_top1", func(r *Result) string { return number(top1(r.Final.Train)) }},
	{"final_test_loss", func(r *Result) string { return number(loss(r.Final.Test)) }},
	{"final_test_top1", func(r *Result) string { return number(top1(r.Final.Test)) }},
	{"best_test_top1", func(r *Result) string { return number(r.BestTop1) }},
	{"best_epoch", func(r *Result) string { return whole(r.BestEpoch) }},
	{"distance", func(r *Result) string { return number(r.Final.distance()) }},
	{"off_local", func(r *Result) string { return number(r.Final.offLocal()) }},
	{"travelled", func(r *Result) string { return number(r.Final.Travelled) }},
	{"entries", func(r *Result) string {
		return count(r.Final.Deviation, func(c *record.Counts) *int64 { return &c.Entries })
	}},
	{"support", func(r *Result) string {
		return count(r.Final.Deviation, func(c *record.Counts) *int64 { return &c.Support })
	}},
	{"nonzero", func(r *Result) string {
		return count(r.Final.Deviation, func(c *record.Counts) *int64 { return &c.NonZero })
	}},
	{"nonzero_local", func(r *Result) string {
		return count(r.Final.Deviation, func(c *record.Counts) *int64 { return &c.NonZeroLocal })
	}},
	{"projected_test_loss", func(r *Result) string { return number(loss(r.Projected)) }},
	{"projected_test_top1", func(r *Result) string { return number(top1(r.Projected)) }},
	{"seconds", func(r *Result) string { return number(&r.Seconds) }},
	{"failed", func(r *Result) string { return r.Failed }},
}

func summaryColumns() []column[*Summary] {
	all := []column[*Summary]{
		{"kind", func(s *Summary) string { return string(s.Kind) }},
		{"relax_epoch", func(s *Summary) string { return whole(s.RelaxEpoch) }},
		{"runs", func(s *Summary) string { return whole(&s.Runs) }},
	}
	for _, q := range quantities {
		all = append(
			all,
			column[*Summary]{q.name + "_mean", func(s *Summary) string {
				if m := *q.mean(s); m != nil {
					return number(&m.Mean)
				}
				return ""
			}},
			column[*Summary]{q.name + "_sd", func(s *Summary) string {
				if m := *q.mean(s); m != nil {
					return number(m.SD)
				}
				return ""
			}},
		)
	}
	return all
}

// Point is what is known of a run after an epoch: a row of epochs.csv.
type Point struct {
	Run   *Result
	Epoch int // 0 is the start
	// Metrics is the line of metrics.jsonl; at the start only what Run.Start says
	// is set.
	finetune.EpochMetrics
}

// time is the number of epochs since the CNN began.
func (p *Point) time() string {
	t := p.Epoch
	if p.Run.RelaxEpoch != nil {
		t += *p.Run.RelaxEpoch
	}
	return whole(&t)
}

// trained is a number that there is not before the first epoch.
func (p *Point) trained(v *float64) string {
	if p.Epoch == 0 {
		return ""
	}
	return number(v)
}

func (p *Point) deviation(of func(d *record.Deviation) *float64) string {
	if p.Deviation == nil {
		return ""
	}
	return number(of(p.Deviation))
}

// travelled is relative to what the run began with.
func (p *Point) travelled() *float64 {
	if p.Epoch == 0 {
		return p.Run.Start.Travelled
	}
	return state(p.EpochMetrics, p.Run.Start.Deviation).Travelled
}

// inside is the norm of the gradient inside the support of a layer. In local form
// that is all of it.
func (p *Point) inside(l *record.LayerDeviation) *float64 {
	if l.Layout.LocalForm() {
		return entry(p.GradientNorms, l.Weight)
	}
	return entry(p.GradientInside, l.Weight)
}

// outside is the norm of the gradient outside the support of a layer, nil in
// local form, which has no such weights, and of a factored one, which has U and V in
// their place.
func (p *Point) outside(l *record.LayerDeviation) *float64 {
	return entry(p.GradientOutside, l.Weight)
}

func entry(of map[string]float64, name string) *float64 {
	if v, ok := of[name]; ok {
		return &v
	}
	return nil
}

// Points returns the epochs of a finished run in the folder dir of a study.
func Points(dir string, r *Result) ([]*Point, error) {
	start := &Point{Run: r}
	if s := r.Start; s.Test != nil {
		start.EpochMetrics = finetune.EpochMetrics{
			TestLoss: &s.Test.Loss, TestTop1: &s.Test.Top1, TestTop5: &s.Test.Top5, Deviation: s.Deviation,
		}
	}
	lines, err := Metrics(filepath.Join(dir, filepath.FromSlash(r.Run)))
	all := []*Point{start}
	for _, m := range lines {
		all = append(all, &Point{r, m.Epoch, m})
	}
	return all, err
}

var runColumns = []column[*Point]{
	{"run", func(p *Point) string { return p.Run.Run }},
	{"kind", func(p *Point) string { return string(p.Run.Kind) }},
	{"seed", func(p *Point) string { return whole(p.Run.Seed) }},
	{"relax_epoch", func(p *Point) string { return whole(p.Run.RelaxEpoch) }},
	{"epoch", func(p *Point) string { return whole(&p.Epoch) }},
	{"time", (*Point).time},
}

var epochColumns = append(
	runColumns[:len(runColumns):len(runColumns)],
	column[*Point]{"rate", func(p *Point) string { return p.trained(&p.Rate) }},
	column[*Point]{"train_loss", func(p *Point) string { return p.trained(&p.TrainLoss) }},
	column[*Point]{"train_top1", func(p *Point) string { return p.trained(&p.TrainTop1) }},
	column[*Point]{"test_loss", func(p *Point) string { return number(p.TestLoss) }},
	column[*Point]{"test_top1", func(p *Point) string { return number(p.TestTop1) }},
	column[*Point]{"test_top5", func(p *Point) string { return number(p.TestTop5) }},
	column[*Point]{"distance", func(p *Point) string {
		return p.deviation(func(d *record.Deviation) *float64 { return &d.Distance })
	}},
	column[*Point]{"off_local", func(p *Point) string {
		return p.deviation(func(d *record.Deviation) *float64 { return &d.OffLocal })
	}},
	column[*Point]{"travelled", func(p *Point) string { return number(p.travelled()) }},
	column[*Point]{"nonzero", func(p *Point) string {
		return count(p.Deviation, func(c *record.Counts) *int64 { return &c.NonZero })
	}},
	column[*Point]{"nonzero_local", func(p *Point) string {
		return count(p.Deviation, func(c *record.Counts) *int64 { return &c.NonZeroLocal })
	}},
	column[*Point]{"gradient_local", func(p *Point) string {
		return number(over(p.Deviation, func(l *record.LayerDeviation) (part, whole *float64) { return p.inside(l), nil }))
	}},
	column[*Point]{"gradient_off_local", func(p *Point) string {
		return number(over(p.Deviation, func(l *record.LayerDeviation) (part, whole *float64) { return p.outside(l), nil }))
	}},
	column[*Point]{"seconds", func(p *Point) string { return p.trained(&p.Seconds) }},
)

// layerPoint is a row of layers.csv.
type layerPoint struct {
	*Point
	layer *record.LayerDeviation
	start *record.LayerDeviation // the same layer before the first epoch
}

// travelled is relative to what the run began with.
func (p layerPoint) travelled() *float64 {
	if p.Epoch == 0 {
		return new(float64)
	}
	far := travelled(&p.EpochMetrics, p.layer)
	if far != nil && *far > 0 {
		*far /= p.start.Norm
	}
	return far
}

func layerColumns() []column[layerPoint] {
	var all []column[layerPoint]
	for _, c := range runColumns {
		all = append(all, column[layerPoint]{c.name, func(p layerPoint) string { return c.cell(p.Point) }})
	}
	return append(
		all,
		column[layerPoint]{"layer", func(p layerPoint) string { return p.layer.Node }},
		column[layerPoint]{"op", func(p layerPoint) string { return p.layer.Op }},
		column[layerPoint]{"norm", func(p layerPoint) string { return number(&p.layer.Norm) }},
		column[layerPoint]{"distance", func(p layerPoint) string { return number(&p.layer.Distance) }},
		column[layerPoint]{"off_local", func(p layerPoint) string { return number(&p.layer.OffLocal) }},
		column[layerPoint]{"bias_distance", func(p layerPoint) string { return number(&p.layer.Bias) }},
		column[layerPoint]{"travelled", func(p layerPoint) string { return number(p.travelled()) }},
		column[layerPoint]{"nonzero", func(p layerPoint) string { return whole(&p.layer.NonZero) }},
		column[layerPoint]{"nonzero_local", func(p layerPoint) string { return whole(&p.layer.NonZeroLocal) }},
		column[layerPoint]{"gradient_local", func(p layerPoint) string { return number(p.inside(p.layer)) }},
		column[layerPoint]{"gradient_off_local", func(p layerPoint) string { return number(p.outside(p.layer)) }},
	)
}

// writeTables writes the tables of a study into its folder.
func writeTables(dir string) error {
	f, err := Read(dir)
	if err != nil {
		return err
	}
	var epochs []*Point
	var layers []layerPoint
	for _, r := range f.Results {
		if r.Kind == Snapshot {
			continue
		}
		points, err := Points(dir, r)
		if err != nil {
			return err
		}
		epochs = append(epochs, points...)
		for _, p := range points {
			if p.Deviation == nil {
				continue
			}
			for i := range p.Deviation.Layers {
				if l := &p.Deviation.Layers[i]; l.NotMeasured == "" {
					layers = append(layers, layerPoint{p, l, &r.Start.Deviation.Layers[i]})
				}
			}
		}
	}
	return errors.Join(
		writeTable(filepath.Join(dir, "results.csv"), resultColumns, f.Results),
		writeTable(filepath.Join(dir, "summary.csv"), summaryColumns(), Summarise(f.Results)),
		writeTable(filepath.Join(dir, "epochs.csv"), epochColumns, epochs),
		writeTable(filepath.Join(dir, "layers.csv"), layerColumns(), layers),
	)
}

func writeTable[T any](path string, columns []column[T], rows []T) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rec := make([]string, len(columns))
	for i, c := range columns {
		rec[i] = c.name
	}
	err := w.Write(rec)
	for _, row := range rows {
		for i, c := range columns {
			rec[i] = c.cell(row)
		}
		err = errors.Join(err, w.Write(rec))
	}
	if w.Flush(); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}
