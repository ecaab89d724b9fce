package report

import (
	"fmt"
	"math"
	"strconv"

	"efcn/finetune/relax"
	"efcn/internal/chart"
)

// ticks places the relax times, which often grow in geometric progression, at
// equal distances.
func (s *study) ticks() (ticks []chart.Tick, at map[int]float64) {
	at = map[int]float64{}
	for i, t := range s.folder.Settings.RelaxEpochs {
		ticks = append(ticks, chart.Tick{X: float64(i), Name: strconv.Itoa(t)})
		at[t] = float64(i)
	}
	return ticks, at
}

// relaxTime is the x axis of figures over it.
const relaxTime = "relax time (epochs before the embedding)"

// againstRelaxTime draws a quantity of kinds of runs against their relax time.
func (s *study) againstRelaxTime(title, y string, factor float64, sums []*relax.Summary, kinds []relax.Kind,
	of func(sum *relax.Summary) *relax.Mean,
) *chart.Chart {
	ticks, at := s.ticks()
	c := &chart.Chart{Title: title, X: relaxTime, Y: y, Ticks: ticks}
	for _, k := range kinds {
		l := chart.Line{Name: name(k, nil)}
		for _, sum := range groups(sums, k) {
			if m := of(sum); m != nil {
				l.X, l.Y = append(l.X, at[*sum.RelaxEpoch]), append(l.Y, factor*m.Mean)
				l.Spread = append(l.Spread, factor*spread(m))
			}
		}
		if len(l.X) > 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	return c
}

func spread(m *relax.Mean) float64 {
	if m.SD == nil {
		return 0
	}
	return *m.SD
}

const rightOfTest = "test accuracy (%)"

// accuracyOf is the main figure of the paper, of one kind of run: its accuracy against
// the relax time, beside that of the CNN when it was embedded, and the levels of the
// CNN and the fully-connected network.
func (s *study) accuracyOf(k relax.Kind, title string, of func(sum *relax.Summary) *relax.Mean) *chart.Chart {
	sums := s.over(k, s.compared(k))
	c := s.againstRelaxTime(title, rightOfTest, 100, sums, []relax.Kind{k}, of)
	if len(c.Lines) == 0 {
		return c
	}
	low, high := extent(c.Lines[0].Y, c.Lines[0].Spread)
	for _, level := range []relax.Kind{relax.CNN, relax.FCN} {
		for _, sum := range groups(sums, level) {
			m := of(sum)
			if m == nil {
				continue
			}
			l := chart.Level{Name: name(level, nil), Y: 100 * m.Mean, Spread: 100 * spread(m)}
			c.Levels = append(c.Levels, l)
			low, high = min(low, l.Y-l.Spread), max(high, l.Y+l.Spread)
		}
	}
	before := s.againstRelaxTime("", "", 100, sums, []relax.Kind{relax.Snapshot}, func(sum *relax.Summary) *relax.Mean {
		return sum.FinalTop1
	})
	for _, l := range before.Lines {
		l.Name, l.Reference, l.Spread = "CNN when embedded", true, nil
		c.Lines = append(c.Lines, l)
		c.Floor = floor(low, high, l.Y)
	}
	return c
}

// extent is from the lowest to the highest of values with their spreads.
func extent(values, spreads []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i, v := range values {
		low, high = min(low, v-spreads[i]), max(high, v+spreads[i])
	}
	return low, high
}

// floor is where an axis begins that is about what lies between low and high, so that
// other values far below do not flatten it; nil where there are none.
func floor(low, high float64, others []float64) *float64 {
	at := math.Floor(low - max(0.6*(high-low), 0.5))
	for _, v := range others {
		if v < at-0.5*(high-at) {
			return &at
		}
	}
	return nil
}

// accuracy is the main figure of the paper, kind by kind, and the tables of its figures.
func (s *study) accuracy() *section {
	part := &section{ID: "accuracy", Title: "Accuracy against relax time"}
	final := func(sum *relax.Summary) *relax.Mean { return sum.FinalTop1 }
	best := func(sum *relax.Summary) *relax.Mean { return sum.BestTop1 }
	if len(s.folder.Settings.RelaxEpochs) == 1 {
		s.drawLevels(part, final, best)
	} else {
		s.drawKinds(part, final, best)
	}
	part.Tables = append(part.Tables, s.accuracyTable())
	if t := s.differences(); len(t.Rows) > 0 {
		part.Tables = append(part.Tables, t)
	}
	for _, r := range s.folder.Results {
		if r.Failed != "" {
			part.Text = append(part.Text, fmt.Sprintf("%s has no result: %s.", r.Run, r.Failed))
		}
	}
	return part
}

// Captions of both forms of the main figure.
const (
	ofFinal = "After the last epoch."
	ofBest  = "The highest after any epoch, as the paper has it: chosen on the test samples, for all models alike."
)

// drawLevels draws the main figure of a study with one relax time: a level for every kind.
func (s *study) drawLevels(part *section, final, best func(sum *relax.Summary) *relax.Mean) {
	for _, q := range []struct {
		title, caption string
		of             func(sum *relax.Summary) *relax.Mean
	}{{"test accuracy at the end", ofFinal, final}, {"best test accuracy", ofBest, best}} {
		c := &chart.Chart{
			Title: q.title, Y: rightOfTest, Ticks: []chart.Tick{},
			X: fmt.Sprintf("relaxed at epoch %d", s.folder.Settings.RelaxEpochs[0]),
		}
		for _, sum := range s.trained() {
			if m := q.of(sum); m != nil {
				c.Levels = append(c.Levels, chart.Level{Name: briefName(sum.Kind), Y: 100 * m.Mean, Spread: 100 * spread(m)})
			}
		}
		caption := q.caption + bands(c)
		if len(s.folder.Missing) > 0 {
			caption += " Not all are over the same seeds: the study is not finished."
		}
		part.draw(c, caption)
	}
}

// drawKinds draws the main figure for every kind of run, and the paper's form of it.
func (s *study) drawKinds(part *section, final, best func(sum *relax.Summary) *relax.Mean) {
	for i, k := range s.folder.Settings.Embedded() {
		title := "test accuracy at the end"
		if i > 0 {
			title += ", " + name(k, nil)
		}
		c := s.accuracyOf(k, title, final)
		part.draw(c, ofFinal+aboutEmbedded+bands(c)+s.drawnOver(k))
		if i == 0 {
			c := s.accuracyOf(k, "best test accuracy", best)
			part.draw(c, ofBest+aboutEmbedded+bands(c)+s.drawnOver(k))
		}
	}
}

const aboutEmbedded = " “CNN when embedded” is the CNN at each relax time."

// bands says what the bands of a chart are, if it has some.
func bands(c *chart.Chart) string {
	if !c.Banded() {
		return ""
	}
	return " Bands are one standard deviation over the seeds."
}

// drawnOver says which seeds a figure of an unfinished study is over.
func (s *study) drawnOver(k relax.Kind) string {
	if s.whole(k) {
		return ""
	}
	if seeds := s.common(k); len(seeds) > 0 {
		return fmt.Sprintf(" Over the seeds that have all of its runs: %d of %d.", len(seeds), s.folder.Settings.Seeds)
	}
	return " Not all points are over the same seeds: the study is not finished."
}

func (s *study) accuracyTable() *table {
	t := newTable("model", ">at the end (%)", ">best (%)", ">at the start (%)", ">nearest CNN (%)", ">deviation d",
		">off-local share s", ">distance travelled", ">train loss", ">runs")
	times := s.folder.Settings.RelaxEpochs
	t.Name = "Accuracies, run by run"
	t.Caption = fmt.Sprintf("Accuracies on the test samples; “from %[1]d” is relaxed at epoch %[1]d, where the eFCN "+
		"starts as the CNN is; d, s, the distance travelled and the train loss at the end; nearest CNN: the accuracy of "+
		"the projection back. ± is the standard deviation over the seeds.", times[len(times)-1])
	for _, sum := range s.trained() {
		runs := number(int64(sum.Runs))
		if sum.Failed > 0 {
			runs += fmt.Sprintf(" (and %d failed)", sum.Failed)
		}
		t.add(name(sum.Kind, sum.RelaxEpoch), percents(sum.FinalTop1), percents(sum.BestTop1), percents(sum.StartTop1),
			percents(sum.ProjectedTop1), plain(sum.Distance), plain(sum.OffLocal), plain(sum.Travelled), plain(sum.TrainLoss),
			runs)
	}
	return t
}
