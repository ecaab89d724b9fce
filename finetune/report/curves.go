package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"efcn/finetune/relax"
	"efcn/internal/chart"
)

// measure is a quantity of an epoch that is drawn, nil where there is none.
type measure struct {
	title, y string
	factor   float64
	of       func(p *relax.Point) *float64
	// beside are kinds that are drawn beside each of those that are embedded.
	beside []relax.Kind
}

// panels draws a quantity against the epochs since the CNN began, a figure for every kind
// of run, and says in the caption what is cut off.
func (s *study) panels(part *section, m measure, caption string) {
	for i, k := range s.folder.Settings.Embedded() {
		c := s.panel(k, m)
		if i > 0 {
			c.Title += ", " + name(k, nil)
		}
		if len(c.Lines) > 0 && !slices.ContainsFunc(c.Lines, func(l chart.Line) bool { return slices.Max(l.Y) > 0 }) {
			part.Text = append(part.Text, fmt.Sprintf("Of the %s the %s is 0 after every epoch.", name(k, nil), m.title))
			continue
		}
		text := caption
		if c.Floor != nil {
			text += fmt.Sprintf(" What is below %s is cut off.", short(*c.Floor))
		}
		part.draw(c, text+s.drawnOver(k))
	}
}

// panel draws a quantity of one kind of run: a line for every relax time, the mean over
// the seeds, with the CNN and the fully-connected network beside them.
func (s *study) panel(k relax.Kind, m measure) *chart.Chart {
	c := &chart.Chart{Title: m.title, X: "epochs since the CNN began", Y: m.y, Sequence: "relaxed at epoch"}
	times, seeds := s.folder.Settings.RelaxEpochs, s.compared(k)
	low, high, late := math.Inf(1), math.Inf(-1), math.Inf(1)
	for _, sum := range groups(s.sums, k) {
		l := s.curve(sum, seeds, m)
		if len(l.X) == 0 {
			continue
		}
		l.Name = strconv.Itoa(*sum.RelaxEpoch)
		if len(times) > 1 {
			l.Shade = float64(slices.Index(times, *sum.RelaxEpoch)) / float64(len(times)-1)
		}
		c.Lines = append(c.Lines, l)
		low, high, late = min(low, slices.Min(l.Y)), max(high, slices.Max(l.Y)), min(late, slices.Min(l.Y[len(l.Y)/2:]))
	}
	if len(c.Lines) == 0 {
		return c
	}
	for _, than := range m.beside {
		for _, sum := range groups(s.sums, than) {
			l := s.curve(sum, seeds, m)
			l.Name, l.Reference, l.Dashed = name(than, nil), true, than == relax.FCN
			if len(l.X) > 0 {
				c.Lines = append(c.Lines, l)
				late, high = min(late, slices.Min(l.Y[len(l.Y)/2:])), max(high, slices.Max(l.Y))
				low = min(low, slices.Min(l.Y))
			}
		}
	}
	if m.factor == 100 { // an accuracy, which begins far below where it ends
		c.Floor = floor(late, high, []float64{low})
	}
	return c
}

// curve is the mean of a quantity over the seeds, against the epochs since the CNN began.
func (s *study) curve(sum *relax.Summary, seeds []uint64, m measure) chart.Line {
	var l chart.Line
	for epoch := 0; ; epoch++ {
		values, any := s.values(sum, seeds, epoch, m.of)
		if !any {
			return l
		}
		if len(values) == 0 {
			continue
		}
		mean, sd := moments(values)
		l.X = append(l.X, float64(max(0, relaxOf(sum.RelaxEpoch))+epoch))
		l.Y, l.Spread = append(l.Y, m.factor*mean), append(l.Spread, m.factor*sd)
	}
}

// values are those of a quantity after an epoch in the runs of a summary that have one of
// the seeds; any reports whether a run has that epoch.
func (s *study) values(
	sum *relax.Summary, seeds []uint64, epoch int, of func(p *relax.Point) *float64,
) (values []float64, any bool) {
	for _, r := range s.folder.Results {
		if r.Seed == nil || !slices.Contains(seeds, *r.Seed) {
			continue
		}
		if r.Kind != sum.Kind || relaxOf(r.RelaxEpoch) != relaxOf(sum.RelaxEpoch) || epoch >= len(s.points[r]) {
			continue
		}
		any = true
		if v := of(s.points[r][epoch]); v != nil && !math.IsNaN(*v) {
			values = append(values, *v)
		}
	}
	return values, any
}

func (s *study) curves() *section {
	part := &section{ID: "training", Title: "Training"}
	both := []relax.Kind{relax.CNN, relax.FCN}
	for _, m := range []measure{
		{"test accuracy", rightOfTest, 100, func(p *relax.Point) *float64 { return p.TestTop1 }, both},
		{"test loss", "cross-entropy", 1, func(p *relax.Point) *float64 { return p.TestLoss }, both},
		{
			"train accuracy", "train accuracy (%)", 100,
			func(p *relax.Point) *float64 { return afterStart(p, &p.TrainTop1) }, both,
		},
		{"train loss", "cross-entropy", 1, func(p *relax.Point) *float64 { return afterStart(p, &p.TrainLoss) }, both},
	} {
		caption := "After every epoch, from the relax time on; mean over the seeds."
		if strings.HasPrefix(m.title, "train") {
			caption = "Of each epoch, measured as it went on; mean over the seeds."
		}
		s.panels(part, m, caption)
	}
	return part.unlessEmpty()
}

// afterStart is a figure that there is not before the first epoch.
func afterStart(p *relax.Point, v *float64) *float64 {
	if p.Epoch == 0 {
		return nil
	}
	return v
}

func (s *study) deviation() *section {
	part := &section{ID: "deviation", Title: "Deviation from the CNN subspace", Text: []string{aboutDeviation}}
	for _, m := range []measure{
		{"deviation d over training", "d", 1, func(p *relax.Point) *float64 {
			if p.Deviation == nil {
				return nil
			}
			return &p.Deviation.Distance
		}, nil},
		{"off-local share s over training", "s", 1, func(p *relax.Point) *float64 {
			if p.Deviation == nil {
				return nil
			}
			return &p.Deviation.OffLocal
		}, nil},
	} {
		s.panels(part, m, "All embedded layers together.")
	}
	at := s.againstRelaxTime("deviation at the end", "d", 1, s.sums, s.folder.Settings.Embedded(),
		func(sum *relax.Summary) *relax.Mean { return sum.Distance })
	part.draw(at, "After the last epoch, against the relax time."+bands(at))
	if t := s.layerTable(); len(t.Rows) > 0 {
		part.Tables = append(part.Tables, t)
	}
	return part.unlessEmpty()
}

const aboutDeviation = "d = ‖W − P(W)‖/‖W‖, where P drops what lies outside the support and puts their mean in place " +
	"of tied weights; s is the share of ‖W‖ outside the support. Both are 0 right after embedding."

// layerTable has d and s of every embedded layer at the end of the eFCNs of the
// first seed.
func (s *study) layerTable() *table {
	t := newTable("run", "layer", "op", ">d", ">s", ">entries not zero", ">of them local")
	t.Name = "Layer by layer"
	t.Caption = "At the end of every run of the first seed."
	for _, r := range s.folder.Results {
		if r.Final.Deviation == nil || r.Seed == nil || *r.Seed != s.folder.Settings.Seed {
			continue
		}
		for _, l := range r.Final.Deviation.Layers {
			if l.NotMeasured != "" {
				continue
			}
			t.add(r.Run, l.Node, l.Op, short(l.Distance), short(l.OffLocal), number(l.NonZero), number(l.NonZeroLocal))
		}
	}
	return t
}

func (s *study) gradients() *section {
	part := &section{ID: "gradients", Title: "Gradients and distance travelled"}
	dense := "Over the embedded layers that are dense, at the last step of each epoch."
	s.panels(part, measure{
		"norm of the gradient inside the support", "‖∇‖", 1,
		func(p *relax.Point) *float64 { return norm(p.GradientInside) }, nil,
	}, dense)
	s.panels(part, measure{
		"norm of the gradient outside the support", "‖∇‖", 1,
		func(p *relax.Point) *float64 { return norm(p.GradientOutside) }, nil,
	}, dense)
	s.panels(part, measure{
		"distance travelled from the embedding", "‖W − W₀‖", 1,
		func(p *relax.Point) *float64 {
			if p.Epoch == 0 && p.Deviation != nil {
				return new(float64)
			}
			return norm(p.Travelled)
		}, nil,
	}, "Over everything that is trained; of factored layers over their local weights, U and V.")
	return part.unlessEmpty()
}
