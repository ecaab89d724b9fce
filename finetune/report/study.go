package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/relax"
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
				if err := c.WriteFile(filepath.Join(folder, fileName(c)+format)); err != nil {
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
		p.Title += ", " + filepath.Base(name)
	}
	p.Facts = s.facts()
	p.Answer, p.Lead = s.lead()
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
	added, err := addedSections(dir)
	if err != nil {
		return nil, err
	}
	p.add(s.accuracy(), s.curves(), s.deviation(), s.gradients(), weights)
	p.add(added...)
	p.add(plan, certificate, s.settings())
	return p, nil
}

// lead says in sentences what came of the study.
func (s *study) lead() (answer string, lead []string) {
	t := s.folder.Settings
	runs := 0
	for _, r := range s.folder.Results {
		if r.Kind != relax.Snapshot {
			runs++
		}
	}
	answer, lead = s.answer()
	lead = append(lead, fmt.Sprintf("%s of %s finished, over %s, %s each.", number(int64(runs)),
		plural(runs+len(s.folder.Missing), "run"), plural(t.Seeds, "seed"), plural(t.Epochs, "epoch")))
	if n := len(s.folder.Unnoted); n > 0 {
		lead = append(lead, fmt.Sprintf("With which settings %s of them %s made is not noted; "+
			"those of the study are assumed.", plural(n, "run"), map[bool]string{true: "was", false: "were"}[n == 1]))
	}
	if t.Seeds > 1 {
		lead = append(lead, "± is the standard deviation over the seeds: of one run, not of the mean.")
	}
	return answer, lead
}

// facts say what the study is of.
func (s *study) facts() []fact {
	t := s.folder.Settings
	facts := aboutFacts(t.About, []string{"cnn", "data", "test"})
	facts = append(facts, fact{"training", fmt.Sprintf("%s; %s after the relax time; %s; %s", training(t.Optimizer, t.Rate,
		t.Batch), plural(t.Epochs, "epoch"), plural(t.Seeds, "seed"), plural(t.Threads, "thread"))})
	first, last := math.Inf(1), 0.0
	for _, points := range s.points {
		for _, p := range points {
			if p.Time > 0 {
				first, last = min(first, p.Time), max(last, p.Time)
			}
		}
	}
	if last > 0 {
		facts = append(facts, fact{"date", span(first, last)})
	}
	return append(facts, aboutFacts(t.About, []string{"command", "program"})...)
}

// aboutFacts are those that a command noted under these keys.
func aboutFacts(about map[string]string, keys []string) []fact {
	names := map[string]string{
		"cnn": "CNN", "model": "model", "data": "training images", "test": "test images", "command": "command",
		"program": "program",
	}
	var facts []fact
	for _, k := range keys {
		if about[k] != "" {
			facts = append(facts, fact{names[k], about[k]})
		}
	}
	return facts
}

// training says how weights follow their gradients.
func training(o finetune.Optimizer, rate float64, batch int) string {
	method := cmp.Or(string(o.Method), string(finetune.SGD))
	for _, v := range []struct {
		name  string
		value float64
	}{{"momentum", o.Momentum}, {"weight decay", o.WeightDecay}, {"λ", o.Lambda}, {"β", o.Beta}} {
		if v.value != 0 {
			method += fmt.Sprintf(", %s %g", v.name, v.value)
		}
	}
	return fmt.Sprintf("%s, learning rate %g, batch %d", method, rate, batch)
}

// span writes when something was done, from the seconds since 1970, in UTC.
func span(first, last float64) string {
	const day, minute = "2 January 2006", "2 January 2006, 15:04"
	from, to := time.Unix(int64(first), 0).UTC(), time.Unix(int64(last), 0).UTC()
	switch {
	case from.Format(minute) == to.Format(minute):
		return from.Format(minute) + " UTC"
	case from.Format(day) == to.Format(day):
		return from.Format(minute) + " to " + to.Format("15:04") + " UTC"
	default:
		return from.Format(minute) + " to " + to.Format(minute) + " UTC"
	}
}

// groups are the summaries of a kind, by ascending relax time.
func groups(sums []*relax.Summary, k relax.Kind) []*relax.Summary {
	var all []*relax.Summary
	for _, sum := range sums {
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
		all = append(all, groups(s.sums, k)...)
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

// joined lists kinds of runs by the names that --with has for them.
func joined(kinds []relax.Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// settings lists what settings.json says.
func (s *study) settings() *section {
	t := s.folder.Settings
	list := newTable("setting", "value")
	list.Wrap = true
	for _, k := range slices.Sorted(maps.Keys(t.About)) {
		list.add(k, t.About[k])
	}
	var times []string
	for _, e := range t.RelaxEpochs {
		times = append(times, strconv.Itoa(e))
	}
	if t.Products != "" {
		list.add("matrix products", t.Products)
	}
	list.add("trained at every relax time", joined(t.Embedded()))
	list.add("relax epochs", strings.Join(times, ", "))
	list.add("epochs", fmt.Sprintf("%d, of the CNN %d", t.Epochs, t.CNNEpochs))
	list.add("seeds", fmt.Sprintf("%d, from %d", t.Seeds, t.Seed))
	list.add("optimiser", training(t.Optimizer, t.Rate, t.Batch))
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
