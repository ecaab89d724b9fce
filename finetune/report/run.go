package report

import (
	"cmp"
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
	about, err := finetune.ReadAbout(dir)
	if err != nil {
		return nil, err
	}
	p := &page{Title: "Training run " + filepath.ToSlash(filepath.Clean(dir))}
	if about != nil {
		if model := about.About["model"]; model != "" {
			p.Title = "Training of " + filepath.Base(model)
		}
		p.Facts = runFacts(about, lines)
	}
	p.Answer, p.Lead = runLead(about, lines)
	if about != nil {
		lines = slices.Insert(lines, 0, beginning(about, lines[0]))
	}

	p.add(trainingOf(lines), deviationOf(lines), gradientsOf(lines))
	weights, plan, err := keptModels(dir)
	if err != nil {
		return nil, err
	}
	added, err := addedSections(dir)
	if err != nil {
		return nil, err
	}
	p.add(weights)
	p.add(added...)
	p.add(plan)
	if about != nil {
		p.add(runSettings(about))
	}
	return p, nil
}

// trainingOf draws loss and accuracy against the epoch, and lists them.
func trainingOf(lines []finetune.EpochMetrics) *section {
	fromStart := ""
	if lines[0].Epoch == 0 {
		fromStart = ", and at 0 before the first step"
	}
	training := &section{ID: "training", Title: "Training"}
	training.draw(linesOf(lines, "loss", "cross-entropy", 1,
		quantity{"train", func(m *finetune.EpochMetrics) *float64 { return trained(m, &m.TrainLoss) }},
		quantity{"test", func(m *finetune.EpochMetrics) *float64 { return m.TestLoss }}),
		"Of the training samples as each epoch went on; of the test samples after it"+fromStart+".")
	training.draw(linesOf(lines, "accuracy", "accuracy (%)", 100,
		quantity{"train", func(m *finetune.EpochMetrics) *float64 { return trained(m, &m.TrainTop1) }},
		quantity{"test", func(m *finetune.EpochMetrics) *float64 { return m.TestTop1 }}),
		"The share of samples whose class is first"+fromStart+".")
	training.Tables = append(training.Tables, epochTable(lines))
	return training
}

// gradientsOf draws the norms of the gradient and the distance travelled.
func gradientsOf(lines []finetune.EpochMetrics) *section {
	g := &section{ID: "gradients", Title: "Gradients and distance travelled"}
	g.draw(linesOf(lines, "norm of the gradient", "‖∇‖", 1,
		quantity{"inside the support", func(m *finetune.EpochMetrics) *float64 { return norm(m.GradientInside) }},
		quantity{"outside", func(m *finetune.EpochMetrics) *float64 { return norm(m.GradientOutside) }}),
		"Over the embedded layers that are dense, at the last step of each epoch.")
	g.draw(linesOf(lines, "distance travelled from the start", "‖W − W₀‖", 1,
		quantity{"", func(m *finetune.EpochMetrics) *float64 { return norm(m.Travelled) }}),
		"Over everything that is trained.")
	return g.unlessEmpty()
}

// runLead says in sentences what came of a run.
func runLead(about *finetune.About, lines []finetune.EpochMetrics) (answer string, lead []string) {
	last := lines[len(lines)-1]
	epochs := plural(last.Epoch, "epoch")
	if about != nil && about.Epochs > last.Epoch {
		epochs = fmt.Sprintf("%d of %s", last.Epoch, plural(about.Epochs, "epoch"))
	}
	after := fmt.Sprintf("After %s, %s", epochs, plural(last.Steps, "step"))
	if last.TestTop1 != nil && last.TestLoss != nil {
		answer = fmt.Sprintf("%s, %s %% of the test samples are right", after, percent(*last.TestTop1))
		if about != nil && about.TestTop1 != nil {
			answer += fmt.Sprintf("; before, %s %% were (%s points)", percent(*about.TestTop1),
				points(*last.TestTop1-*about.TestTop1))
		}
		answer += "."
		sentence := "The test loss is " + short(*last.TestLoss)
		if about != nil && about.TestLoss != nil {
			sentence += ", and was " + short(*about.TestLoss)
		}
		lead = append(lead, sentence+".")
	} else {
		answer = after + "."
	}
	return answer, append(lead, fmt.Sprintf("Of the training samples %s %% were right in the last epoch, as it went on; "+
		"their loss was %s.", percent(last.TrainTop1), short(last.TrainLoss)))
}

// runFacts say what a run is of.
func runFacts(a *finetune.About, lines []finetune.EpochMetrics) []fact {
	facts := aboutFacts(a.About, []string{"model", "data", "test"})
	facts = append(facts, fact{"training", fmt.Sprintf("%s; %s; trained: %s; seed %d; %s", training(a.Optimizer, a.Rate,
		a.Batch), plural(a.Epochs, "epoch"), a.Train, a.Seed, plural(a.Threads, "thread"))})
	first, last := lines[0].Time, lines[len(lines)-1].Time
	if !a.Begun.IsZero() {
		first = float64(a.Begun.Unix())
	}
	if last > 0 {
		facts = append(facts, fact{"date", span(first, last)})
	}
	return append(facts, aboutFacts(a.About, []string{"command", "program"})...)
}

// beginning is the epoch 0 of a run: what its model was before the first step.
func beginning(a *finetune.About, first finetune.EpochMetrics) finetune.EpochMetrics {
	m := finetune.EpochMetrics{
		TestLoss: a.TestLoss, TestTop1: a.TestTop1, TestTop5: a.TestTop5, Deviation: a.Deviation,
	}
	if len(first.Travelled) > 0 {
		m.Travelled = map[string]float64{}
		for name := range first.Travelled {
			m.Travelled[name] = 0
		}
	}
	return m
}

// trained is a number that there is not before the first epoch.
func trained(m *finetune.EpochMetrics, v *float64) *float64 {
	if m.Epoch == 0 {
		return nil
	}
	return v
}

// runSettings lists with what a run was made.
func runSettings(a *finetune.About) *section {
	list := newTable("setting", "value")
	list.Wrap = true
	for _, k := range slices.Sorted(maps.Keys(a.About)) {
		if a.About[k] != "" {
			list.add(k, a.About[k])
		}
	}
	list.add("optimiser", training(a.Optimizer, a.Rate, a.Batch))
	schedule := cmp.Or(a.Schedule.Kind, "constant")
	if a.Schedule.Warmup > 0 {
		schedule += fmt.Sprintf(", warm-up of %g epochs", a.Schedule.Warmup)
	}
	list.add("learning rate over time", schedule)
	list.add("epochs", strconv.Itoa(a.Epochs))
	list.add("trained", a.Train)
	list.add("new weights before", yes(a.Reinit))
	if a.Clip > 0 {
		list.add("greatest norm of the gradients", short(a.Clip))
	}
	if a.Init != "" {
		list.add("V of factored layers", string(a.Init))
	}
	if a.Refresh > 0 {
		list.add("subspace restarted every", plural(a.Refresh, "epoch"))
	}
	if a.Augment.Flip || a.Augment.Crop > 0 {
		list.add("augmentation", fmt.Sprintf("flip: %s, crop: %s", yes(a.Augment.Flip), plural(a.Augment.Crop, "pixel")))
	}
	list.add("seed", strconv.FormatUint(a.Seed, 10))
	list.add("threads", strconv.Itoa(a.Threads))
	list.add("matrix products", a.Products)
	return &section{ID: "settings", Title: "Settings", Tables: []*table{list}}
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
	t := newTable(">epoch", ">test top-1 (%)", ">train top-1 (%)", ">test loss", ">train loss", ">d", ">s",
		">learning rate", ">seconds", ">peak memory (MiB)")
	t.Name = "Epoch by epoch"
	every := (len(lines) + shownEpochs - 1) / shownEpochs
	if every > 1 {
		t.Caption = fmt.Sprintf("One epoch of %d, and the last.", every)
	}
	for i := range lines {
		m := &lines[i]
		if m.Epoch%every != 0 && i != len(lines)-1 {
			continue
		}
		row := []string{strconv.Itoa(m.Epoch), "", "", "", "", "", "", "", "", ""}
		if m.TestLoss != nil && m.TestTop1 != nil {
			row[1], row[3] = percent(*m.TestTop1), fmt.Sprintf("%.4f", *m.TestLoss)
		}
		if m.Deviation != nil {
			row[5], row[6] = short(m.Deviation.Distance), short(m.Deviation.OffLocal)
		}
		if m.Epoch > 0 {
			row[2], row[4], row[7] = percent(m.TrainTop1), fmt.Sprintf("%.4f", m.TrainLoss), fmt.Sprintf("%.3g", m.Rate)
			row[8], row[9] = chart.Number(m.Seconds, 2), number(m.PeakBytes>>20)
		}
		t.add(row...)
	}
	return t
}

// deviationOf draws d and s of every layer against the epoch.
func deviationOf(lines []finetune.EpochMetrics) *section {
	part := &section{ID: "deviation", Title: "Deviation from the CNN subspace", Text: []string{aboutDeviation}}
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
	return part.unlessEmpty()
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
