package report

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/relax"
	"efcn/internal/chart"
	"efcn/onnxio"
)

// runPage is the page about a single run of training.
func runPage(_ context.Context, dir string, _ Options) (*page, error) {
	lines, err := relax.Metrics(dir)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s: metrics.jsonl holds no epoch yet", dir)
	}
	last := lines[len(lines)-1]
	p := &page{Title: "Training run " + filepath.Base(filepath.Clean(dir))}
	sentence := fmt.Sprintf("%s, %d steps; at the end the train loss is %.4f, top-1 %.2f %%", plural(len(lines), "epoch"),
		last.Steps, last.TrainLoss, 100*last.TrainTop1)
	if last.TestTop1 != nil && last.TestLoss != nil {
		sentence += fmt.Sprintf("; the test loss %.4f, top-1 %.2f %%", *last.TestLoss, 100**last.TestTop1)
	}
	p.Lead = []string{sentence + "."}

	training := &section{ID: "training", Title: "Training"}
	training.draw(linesOf(lines, "loss", "cross-entropy", 1,
		quantity{"train", func(m *finetune.EpochMetrics) *float64 { return &m.TrainLoss }},
		quantity{"test", func(m *finetune.EpochMetrics) *float64 { return m.TestLoss }}),
		"Of the training samples as each epoch went on; of the test samples after it.")
	training.draw(linesOf(lines, "accuracy", "right (%)", 100,
		quantity{"train", func(m *finetune.EpochMetrics) *float64 { return &m.TrainTop1 }},
		quantity{"test", func(m *finetune.EpochMetrics) *float64 { return m.TestTop1 }}),
		"The share of samples whose class is first.")
	training.Tables = append(training.Tables, epochTable(lines))
	p.Sections = append(p.Sections, training)

	if d := deviationOf(lines); d != nil {
		p.Sections = append(p.Sections, d)
	}
	g := &section{ID: "gradients", Title: "Gradients and distance travelled"}
	g.draw(linesOf(lines, "norm of the gradient", "‖∇‖", 1,
		quantity{"inside the support", func(m *finetune.EpochMetrics) *float64 { return norm(m.GradientInside) }},
		quantity{"outside", func(m *finetune.EpochMetrics) *float64 { return norm(m.GradientOutside) }}),
		"Over the embedded layers that are dense, at the last step of each epoch.")
	g.draw(linesOf(lines, "distance travelled from the start", "‖W − W₀‖", 1,
		quantity{"", func(m *finetune.EpochMetrics) *float64 { return norm(m.Travelled) }}),
		"Over everything that is trained.")
	if len(g.Figures) > 0 {
		p.Sections = append(p.Sections, g)
	}
	weights, plan, err := keptModels(dir)
	if err != nil {
		return nil, err
	}
	for _, part := range []*section{weights, plan} {
		if part != nil {
			p.Sections = append(p.Sections, part)
		}
	}
	return p, nil
}

// quantity is a number of an epoch, nil where there is none.
type quantity struct {
	name string
	of   func(m *finetune.EpochMetrics) *float64
}

// norm is the norm of several parts together, nil where there are none.
func norm(parts map[string]float64) *float64 {
	if len(parts) == 0 {
		return nil
	}
	squares := 0.0
	for _, k := range slices.Sorted(maps.Keys(parts)) { // a sum depends on the order
		squares += parts[k] * parts[k]
	}
	squares = math.Sqrt(squares)
	return &squares
}

// linesOf draws quantities against the epoch.
func linesOf(lines []finetune.EpochMetrics, title, y string, factor float64, quantities ...quantity) *chart.Chart {
	c := &chart.Chart{Title: title, X: "epoch", Y: y}
	for _, q := range quantities {
		l := chart.Line{Name: q.name}
		for i := range lines {
			if v := q.of(&lines[i]); v != nil {
				l.X, l.Y = append(l.X, float64(lines[i].Epoch)), append(l.Y, factor**v)
			}
		}
		if len(l.X) > 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	return c
}

// shownEpochs bounds the rows of a table of epochs.
const shownEpochs = 25

// epochTable lists the epochs, some of them where they are many.
func epochTable(lines []finetune.EpochMetrics) *table {
	t := newTable(">epoch", ">learning rate", ">train loss", ">train top-1", ">test loss", ">test top-1", ">d", ">s",
		">seconds", ">peak memory (MiB)")
	every := (len(lines) + shownEpochs - 1) / shownEpochs
	if every > 1 {
		t.Caption = fmt.Sprintf("Every %dth epoch, and the last.", every)
	}
	for i := range lines {
		m := &lines[i]
		if (i+1)%every != 0 && i != len(lines)-1 {
			continue
		}
		row := []string{
			strconv.Itoa(m.Epoch), short(m.Rate), fmt.Sprintf("%.4f", m.TrainLoss),
			fmt.Sprintf("%.2f %%", 100*m.TrainTop1), "", "", "", "",
		}
		if m.TestLoss != nil && m.TestTop1 != nil {
			row[4], row[5] = fmt.Sprintf("%.4f", *m.TestLoss), fmt.Sprintf("%.2f %%", 100**m.TestTop1)
		}
		if m.Deviation != nil {
			row[6], row[7] = short(m.Deviation.Distance), short(m.Deviation.OffLocal)
		}
		t.add(append(row, fmt.Sprintf("%.2f", m.Seconds), number(m.PeakBytes>>20))...)
	}
	return t
}

// deviationOf draws d and s of every layer against the epoch.
func deviationOf(lines []finetune.EpochMetrics) *section {
	part := &section{ID: "deviation", Title: "Deviation from the CNN subspace", Text: []string{
		"d = ‖W − P(W)‖/‖W‖, where P drops what lies outside the support and puts their mean in place of tied weights; " +
			"s is the share of ‖W‖ outside the support. Both are 0 right after embedding.",
	}}
	layer := func(node string, of func(l *record.LayerDeviation) *float64) quantity {
		return quantity{node, func(m *finetune.EpochMetrics) *float64 {
			if m.Deviation == nil {
				return nil
			}
			for i := range m.Deviation.Layers {
				if l := &m.Deviation.Layers[i]; l.Node == node && l.NotMeasured == "" {
					return of(l)
				}
			}
			return nil
		}}
	}
	all := func(of func(d *record.Deviation) *float64) quantity {
		return quantity{"all", func(m *finetune.EpochMetrics) *float64 {
			if m.Deviation == nil {
				return nil
			}
			return of(m.Deviation)
		}}
	}
	distance := []quantity{all(func(d *record.Deviation) *float64 { return &d.Distance })}
	offLocal := []quantity{all(func(d *record.Deviation) *float64 { return &d.OffLocal })}
	if d := lines[len(lines)-1].Deviation; d != nil {
		for _, l := range d.Layers {
			distance = append(distance, layer(l.Node, func(l *record.LayerDeviation) *float64 { return &l.Distance }))
			offLocal = append(offLocal, layer(l.Node, func(l *record.LayerDeviation) *float64 { return &l.OffLocal }))
		}
	}
	part.draw(linesOf(lines, "deviation d", "d", 1, distance...), "Layer by layer, and all together.")
	part.draw(linesOf(lines, "off-local share s", "s", 1, offLocal...), "Layer by layer, and all together.")
	if len(part.Figures) == 0 {
		return nil
	}
	return part
}

// keptModels draws weights of the first and the last model that was kept along
// the run (step-N.onnx), if there are any, and lists their layers.
func keptModels(dir string) (weights, plan *section, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "step-*.onnx"))
	if err != nil || len(files) == 0 {
		return nil, nil, err
	}
	step := func(file string) int {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "step-"), ".onnx"))
		if err != nil {
			return -1
		}
		return n
	}
	files = slices.DeleteFunc(files, func(f string) bool { return step(f) < 0 })
	if len(files) == 0 {
		return nil, nil, nil
	}
	slices.SortFunc(files, func(a, b string) int { return step(a) - step(b) })
	var columns []column
	for i, f := range []string{files[0], files[len(files)-1]} {
		if i == 0 || f != files[0] {
			columns = append(columns, column{fmt.Sprintf("after step %d", step(f)), f})
		}
	}
	m, err := onnxio.Read(files[0])
	if err != nil {
		return nil, nil, err
	}
	rec, err := record.Read(m)
	if err != nil || rec == nil {
		return nil, nil, err
	}
	if plan, err = planOf(rec); err != nil {
		return nil, nil, err
	}
	weights, err = drawWeights(onnxio.Read, columns)
	return weights, plan, err
}
