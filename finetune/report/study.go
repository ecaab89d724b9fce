package report

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"efcn/convert/record"
	"efcn/finetune/relax"
	"efcn/internal/chart"
)

// study is the folder of a study with the epochs of its runs.
type study struct {
	dir     string
	folder  *relax.Folder
	sums    []*relax.Summary
	points  map[*relax.Result][]*relax.Point
	options Options
}

// readStudy reads the folder of a study, finished or not.
func readStudy(dir string, o Options) (*study, error) {
	f, err := relax.Read(dir)
	if err != nil {
		return nil, err
	}
	s := &study{
		dir: dir, folder: f, sums: relax.Summarise(f.Results), points: map[*relax.Result][]*relax.Point{},
		options: o,
	}
	for _, r := range f.Results {
		if r.Kind == relax.Snapshot {
			continue
		}
		if s.points[r], err = relax.Points(dir, r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// WritePlots draws the curves of the study in the folder dir into its folder
// plots, made where it is missing: each as SVG and as PNG, named after its title.
func WritePlots(dir string) error {
	s, err := readStudy(dir, Options{})
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "plots")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for _, part := range []*section{s.accuracy(), s.deviation(), s.curves(), s.gradients()} {
		if part == nil {
			continue
		}
		for _, c := range part.charts {
			for _, format := range []string{".svg", ".png"} {
				if err := c.WriteFile(filepath.Join(folder, strings.ReplaceAll(c.Title, " ", "-")+format)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func studyPage(ctx context.Context, dir string, o Options) (*page, error) {
	s, err := readStudy(dir, o)
	if err != nil {
		return nil, err
	}
	f := s.folder
	p := &page{Title: "From CNN to eFCN: accuracy against relax time"}
	if name := f.Settings.About["cnn"]; name != "" {
		p.Title += ", " + name
	}
	p.Lead = s.lead()
	plan, err := s.planSection()
	if err != nil {
		return nil, err
	}
	certificate, err := s.certificate(ctx)
	if err != nil {
		return nil, err
	}
	weights, err := s.weights()
	if err != nil {
		return nil, err
	}
	for _, part := range []*section{
		s.accuracy(), s.deviation(), s.curves(), s.gradients(), weights, plan, certificate, s.settings(),
	} {
		if part != nil {
			p.Sections = append(p.Sections, part)
		}
	}
	return p, nil
}

// lead says in sentences what came of the study.
func (s *study) lead() []string {
	var lead []string
	t := s.folder.Settings
	runs := 0
	for _, r := range s.folder.Results {
		if r.Kind != relax.Snapshot {
			runs++
		}
	}
	lead = append(lead, fmt.Sprintf("%s of %s finished, over %s, %s each.",
		plural(runs, "run"), plural(runs+len(s.folder.Missing), "run"), plural(t.Seeds, "seed"), plural(t.Epochs, "epoch")))
	if n := len(s.folder.Unnoted); n > 0 {
		lead = append(lead, fmt.Sprintf("With which settings %s of them %s made is not noted; "+
			"those of the study are assumed.", plural(n, "run"), map[bool]string{true: "was", false: "were"}[n == 1]))
	}
	var cnn, fcn, best *relax.Summary
	for _, sum := range s.sums {
		switch {
		case sum.FinalTop1 == nil:
		case sum.Kind == relax.CNN:
			cnn = sum
		case sum.Kind == relax.FCN:
			fcn = sum
		case sum.Kind == t.Embedded()[0] && (best == nil || sum.FinalTop1.Mean > best.FinalTop1.Mean):
			best = sum
		}
	}
	say := func(what string, sum *relax.Summary) {
		if sum != nil {
			lead = append(lead, fmt.Sprintf("%s ends with %s of the test samples right.", what, percent(sum.FinalTop1)))
		}
	}
	say("The CNN", cnn)
	say("The standard fully-connected network", fcn)
	if best != nil {
		say(fmt.Sprintf("Of the relax times, epoch %d ends highest: the %s relaxed there", *best.RelaxEpoch,
			name(best.Kind, nil)), best)
		if t.Seeds > 1 {
			lead = append(lead, fmt.Sprintf("Figures are means over %d seeds ± the standard deviation of one run.", t.Seeds))
		}
		lead = append(lead, "Which relax time is highest was found on the same test samples, so its figure is a little "+
			"too high; the curve as a whole is not.")
	}
	return lead
}

// groups are the summaries of a kind, by ascending relax time.
func (s *study) groups(k relax.Kind) []*relax.Summary {
	var all []*relax.Summary
	for _, sum := range s.sums {
		if sum.Kind == k {
			all = append(all, sum)
		}
	}
	slices.SortStableFunc(all, func(a, b *relax.Summary) int { return relaxOf(a.RelaxEpoch) - relaxOf(b.RelaxEpoch) })
	return all
}

// trained are the summaries of the runs, kind by kind.
func (s *study) trained() []*relax.Summary {
	var all []*relax.Summary
	for _, k := range append([]relax.Kind{relax.CNN, relax.FCN}, s.folder.Settings.Embedded()...) {
		all = append(all, s.groups(k)...)
	}
	return all
}

// relaxOf is the relax time, −1 where there is none.
func relaxOf(epoch *int) int {
	if epoch == nil {
		return -1
	}
	return *epoch
}

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

// againstRelaxTime draws a quantity of every kind of run that is embedded
// against its relax time, and the CNN's and the FCN's as levels.
func (s *study) againstRelaxTime(title, y string, factor float64,
	of func(sum *relax.Summary) *relax.Mean,
) *chart.Chart {
	ticks, at := s.ticks()
	c := &chart.Chart{Title: title, X: "relax time (epochs of the CNN before it is embedded)", Y: y, Ticks: ticks}
	for _, k := range s.folder.Settings.Embedded() {
		l := chart.Line{Name: name(k, nil)}
		for _, sum := range s.groups(k) {
			if m := of(sum); m != nil {
				l.X, l.Y = append(l.X, at[*sum.RelaxEpoch]), append(l.Y, factor*m.Mean)
				l.Spread = append(l.Spread, factor*spread(m))
			}
		}
		if len(l.X) > 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	for _, k := range []relax.Kind{relax.CNN, relax.FCN} {
		for _, sum := range s.groups(k) {
			if m := of(sum); m != nil {
				c.Levels = append(c.Levels, chart.Level{Name: name(k, nil), Y: factor * m.Mean, Spread: factor * spread(m)})
			}
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

// accuracy is the main figure of the paper, and the table of its figures.
func (s *study) accuracy() *section {
	part := &section{ID: "accuracy", Title: "Accuracy against relax time"}
	part.draw(s.againstRelaxTime("test accuracy at the end", "right of the test samples (%)", 100,
		func(sum *relax.Summary) *relax.Mean { return sum.FinalTop1 }),
		"After the last epoch. Bands are one standard deviation over the seeds.")
	part.draw(s.againstRelaxTime("best test accuracy", "right of the test samples (%)", 100,
		func(sum *relax.Summary) *relax.Mean { return sum.BestTop1 }),
		"The highest after any epoch, as the paper has it: chosen on the test samples, for the CNN and the FCN alike.")
	t := newTable("model", ">relax epoch", ">runs", ">at the start", ">at the end", ">best", ">train loss",
		">deviation d", ">off-local share s", ">distance travelled", ">nearest CNN")
	t.Caption = "Accuracies on the test samples; d, s and the distance travelled at the end; nearest CNN: the accuracy " +
		"of the projection back. ± is the standard deviation over the seeds."
	for _, sum := range s.trained() {
		relaxed, runs := "", strconv.Itoa(sum.Runs)
		if sum.RelaxEpoch != nil {
			relaxed = strconv.Itoa(*sum.RelaxEpoch)
		}
		if sum.Failed > 0 {
			runs += fmt.Sprintf(" (and %d failed)", sum.Failed)
		}
		t.add(name(sum.Kind, nil), relaxed, runs, percent(sum.StartTop1), percent(sum.FinalTop1), percent(sum.BestTop1),
			plain(sum.TrainLoss), plain(sum.Distance), plain(sum.OffLocal), plain(sum.Travelled), percent(sum.ProjectedTop1))
	}
	part.Tables = append(part.Tables, t)
	for _, r := range s.folder.Results {
		if r.Failed != "" {
			part.Text = append(part.Text, fmt.Sprintf("%s has no result: %s.", r.Run, r.Failed))
		}
	}
	return part
}

// curve draws a quantity against the epochs since the CNN began, the mean over
// the seeds with a band, for every kind of run and relax time.
func (s *study) curve(title, y string, factor float64, kinds []relax.Kind,
	of func(p *relax.Point) *float64,
) *chart.Chart {
	c := &chart.Chart{Title: title, X: "epochs since the CNN began", Y: y}
	for _, k := range kinds {
		for _, sum := range s.groups(k) {
			l := chart.Line{Name: name(k, sum.RelaxEpoch)}
			for epoch := 0; ; epoch++ {
				values, any := s.values(sum, epoch, of)
				if !any {
					break
				}
				if len(values) == 0 {
					continue
				}
				mean, sd := moments(values)
				l.X = append(l.X, float64(max(0, relaxOf(sum.RelaxEpoch))+epoch))
				l.Y, l.Spread = append(l.Y, factor*mean), append(l.Spread, factor*sd)
			}
			if len(l.X) > 0 {
				c.Lines = append(c.Lines, l)
			}
		}
	}
	return c
}

// values are those of a quantity after an epoch in all runs of a summary; any
// reports whether a run has that epoch.
func (s *study) values(sum *relax.Summary, epoch int, of func(p *relax.Point) *float64) (values []float64, any bool) {
	for _, r := range s.folder.Results {
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

// moments returns the mean and the standard deviation of a sample, 0 of one value.
func moments(values []float64) (mean, sd float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	if len(values) > 1 {
		for _, v := range values {
			sd += (v - mean) * (v - mean) / (n - 1)
		}
	}
	return mean, math.Sqrt(sd)
}

func (s *study) deviation() *section {
	part := &section{ID: "deviation", Title: "Deviation from the CNN subspace", Text: []string{
		"d = ‖W − P(W)‖/‖W‖, where P drops what lies outside the support and puts their mean in place of tied weights; " +
			"s is the share of ‖W‖ outside the support. Both are 0 right after embedding.",
	}}
	kinds := s.folder.Settings.Embedded()
	part.draw(s.curve("deviation d over training", "d", 1, kinds, func(p *relax.Point) *float64 {
		if p.Deviation == nil {
			return nil
		}
		return &p.Deviation.Distance
	}), "All embedded layers together.")
	part.draw(s.curve("off-local share s over training", "s", 1, kinds, func(p *relax.Point) *float64 {
		if p.Deviation == nil {
			return nil
		}
		return &p.Deviation.OffLocal
	}), "All embedded layers together.")
	part.draw(s.againstRelaxTime("deviation at the end", "d", 1, func(sum *relax.Summary) *relax.Mean {
		if sum.Kind == relax.CNN || sum.Kind == relax.FCN {
			return nil
		}
		return sum.Distance
	}), "After the last epoch, against the relax time.")
	if t := s.layerTable(); len(t.Rows) > 0 {
		part.Tables = append(part.Tables, t)
	}
	if len(part.Figures) == 0 {
		return nil
	}
	return part
}

// layerTable has d and s of every embedded layer at the end of the eFCNs of the
// first seed.
func (s *study) layerTable() *table {
	t := newTable("run", "layer", "op", ">d", ">s", ">entries not zero", ">of them local")
	t.Caption = "Layer by layer at the end of every run of the first seed."
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

func (s *study) curves() *section {
	part := &section{ID: "training", Title: "Training"}
	kinds := append([]relax.Kind{relax.CNN, relax.FCN}, s.folder.Settings.Embedded()...)
	for _, q := range []struct {
		title, y string
		factor   float64
		of       func(p *relax.Point) *float64
	}{
		{"test accuracy", "right of the test samples (%)", 100, func(p *relax.Point) *float64 { return p.TestTop1 }},
		{"test loss", "cross-entropy", 1, func(p *relax.Point) *float64 { return p.TestLoss }},
		{
			"train accuracy", "right of the training samples (%)", 100,
			func(p *relax.Point) *float64 { return afterStart(p, &p.TrainTop1) },
		},
		{"train loss", "cross-entropy", 1, func(p *relax.Point) *float64 { return afterStart(p, &p.TrainLoss) }},
	} {
		caption := "After every epoch, from the relax time on; mean over the seeds."
		if strings.HasPrefix(q.title, "train") {
			caption = "Of each epoch, measured as it went on; mean over the seeds."
		}
		part.draw(s.curve(q.title, q.y, q.factor, kinds, q.of), caption)
	}
	if len(part.Figures) == 0 {
		return nil
	}
	return part
}

// afterStart is a figure that there is not before the first epoch.
func afterStart(p *relax.Point, v *float64) *float64 {
	if p.Epoch == 0 {
		return nil
	}
	return v
}

func (s *study) gradients() *section {
	part := &section{ID: "gradients", Title: "Gradients and distance travelled"}
	kinds := s.folder.Settings.Embedded()
	dense := "Over the embedded layers that are dense, at the last step of each epoch."
	part.draw(s.curve("norm of the gradient inside the support", "‖∇‖", 1, kinds,
		func(p *relax.Point) *float64 { return norm(p.GradientInside) }), dense)
	part.draw(s.curve("norm of the gradient outside the support", "‖∇‖", 1, kinds,
		func(p *relax.Point) *float64 { return norm(p.GradientOutside) }), dense)
	part.draw(s.curve("distance travelled from the embedding", "‖W − W₀‖", 1, kinds,
		func(p *relax.Point) *float64 { return norm(p.Travelled) }),
		"Over everything that is trained; of factored layers over their local weights, U and V.")
	if len(part.Figures) == 0 {
		return nil
	}
	return part
}

// settings lists what settings.json says.
func (s *study) settings() *section {
	t := s.folder.Settings
	list := newTable("setting", "value")
	list.Wrap = true
	var about []string
	for k := range t.About {
		about = append(about, k)
	}
	slices.Sort(about)
	for _, k := range about {
		list.add(k, t.About[k])
	}
	var times []string
	for _, e := range t.RelaxEpochs {
		times = append(times, strconv.Itoa(e))
	}
	if t.Products != "" {
		list.add("matrix products", t.Products)
	}
	list.add("trained at every relax time", string(t.Embedded()[0]))
	list.add("relax epochs", strings.Join(times, ", "))
	list.add("epochs", fmt.Sprintf("%d, of the CNN %d", t.Epochs, t.CNNEpochs))
	list.add("seeds", fmt.Sprintf("%d, from %d", t.Seeds, t.Seed))
	o := t.Optimizer
	method := string(o.Method)
	for _, v := range []struct {
		name  string
		value float64
	}{{"momentum", o.Momentum}, {"weight decay", o.WeightDecay}, {"λ", o.Lambda}, {"β", o.Beta}} {
		if v.value != 0 {
			method += fmt.Sprintf(", %s %g", v.name, v.value)
		}
	}
	list.add("optimiser", fmt.Sprintf("%s, learning rate %g, batch %d", method, t.Rate, t.Batch))
	list.add("new weights for the CNN", yes(t.Reinit))
	list.add("threads", strconv.Itoa(t.Threads))
	list.add("training samples (SHA-256)", t.Data)
	list.add("test samples (SHA-256)", t.Test)
	return &section{ID: "settings", Title: "Settings", Tables: []*table{list}}
}

// planSection lists the layers that were embedded.
func (s *study) planSection() (*section, error) {
	rec, err := s.record()
	if rec == nil || err != nil {
		return nil, err
	}
	return planOf(rec)
}

// record is that of an eFCN of the study.
func (s *study) record() (*record.Record, error) {
	for _, r := range s.folder.Results {
		if r.Kind == s.folder.Settings.Embedded()[0] {
			m, err := s.model(r.Run + "/start.onnx")
			if err != nil {
				return nil, err
			}
			return record.Read(m)
		}
	}
	return nil, nil
}

// name is how a kind of run is called on the page.
func name(k relax.Kind, relaxed *int) string {
	text := map[relax.Kind]string{
		relax.CNN: "CNN", relax.FCN: "FCN", relax.EFCN: "eFCN", relax.ELCN: "eLCN", relax.Local: "eFCN, local weights only",
		relax.OffLocal: "eFCN, off-local weights only", relax.Tied: "eFCN, tied", relax.Snapshot: "CNN at the relax time",
	}[k]
	if rank := k.Rank(); rank > 0 {
		text = fmt.Sprintf("eFCN, factored %d", rank)
		if init := k.Init(); init != "" {
			text += fmt.Sprintf(" (%s)", init)
		}
		if n := k.Refresh(); n > 0 {
			text += fmt.Sprintf(", restarted every %s", plural(n, "epoch"))
		}
	}
	if relaxed != nil {
		text += fmt.Sprintf(" from %d", *relaxed)
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// percent writes a mean of shares as 78.61 ± 0.21 %.
func percent(m *relax.Mean) string {
	switch {
	case m == nil:
		return ""
	case m.SD == nil:
		return fmt.Sprintf("%.2f %%", 100*m.Mean)
	default:
		return fmt.Sprintf("%.2f ± %.2f %%", 100*m.Mean, 100**m.SD)
	}
}

func plain(m *relax.Mean) string {
	switch {
	case m == nil:
		return ""
	case m.SD == nil:
		return short(m.Mean)
	default:
		return short(m.Mean) + " ± " + strconv.FormatFloat(*m.SD, 'g', 2, 64)
	}
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

func number(n int64) string { return strconv.FormatInt(n, 10) }
