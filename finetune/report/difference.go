package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"efcn/finetune/relax"
)

// confidence is that of the intervals of differences.
const confidence = 0.95

// difference is how far one kind of run ends above another, over the seeds that both
// have: the mean of the differences seed by seed. Two runs of a seed begin with the same
// CNN and see the samples in the same order, so that these vary less than the accuracies.
type difference struct {
	mean  float64
	seeds int
	// half is the half width of the interval of Student's t with seeds − 1 degrees of
	// freedom; NaN for one seed.
	half float64
}

// paired compares the values of a and b of the same seeds, nil where they have none.
func paired(a, b map[uint64]float64) *difference {
	var each []float64
	for seed, v := range a {
		if w, ok := b[seed]; ok {
			each = append(each, v-w)
		}
	}
	if len(each) == 0 {
		return nil
	}
	slices.Sort(each) // a sum depends on the order
	mean, sd := moments(each)
	n := float64(len(each))
	d := &difference{mean: mean, seeds: len(each), half: math.NaN()}
	if len(each) > 1 {
		t := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile((1 + confidence) / 2)
		d.half = t * sd / math.Sqrt(n)
	}
	return d
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

// interval is the interval of a difference of shares, in percentage points.
func (d *difference) interval() string {
	if math.IsNaN(d.half) {
		return ""
	}
	return points(d.mean-d.half) + " to " + points(d.mean+d.half)
}

// told reports whether the interval does not hold 0.
func (d *difference) told() bool { return math.Abs(d.mean) > d.half }

// above says how far what ends above what it is compared with.
func (d *difference) above(than string) string {
	way := "above"
	if d.mean < 0 {
		way = "below"
	}
	text := fmt.Sprintf("%s points %s %s", percent(math.Abs(d.mean)), way, than)
	switch {
	case math.IsNaN(d.half):
		return text + " (one seed: no interval)"
	case d.told():
		return fmt.Sprintf("%s (95 %% interval %s; %s, paired)", text, d.interval(), plural(d.seeds, "seed"))
	default:
		return fmt.Sprintf("%s, which %s do not tell from none (95 %% interval %s, paired)", text, plural(d.seeds, "seed"),
			d.interval())
	}
}

// finals are the accuracies at the end of the runs of a kind and relax time, by seed;
// −1 for a kind without one.
func (s *study) finals(k relax.Kind, relaxed int) map[uint64]float64 {
	all := map[uint64]float64{}
	for _, r := range s.folder.Results {
		if r.Kind == k && relaxOf(r.RelaxEpoch) == relaxed && r.Seed != nil && r.Failed == "" && r.Final.Test != nil {
			all[*r.Seed] = r.Final.Test.Top1
		}
	}
	return all
}

// cnnFinals are those of the CNN that runs of a relax time are compared with: at its end
// or, where the CNNs were given and not trained, as it was given.
func (s *study) cnnFinals(relaxed int) map[uint64]float64 {
	if s.folder.Settings.Given == nil {
		return s.finals(relax.CNN, -1)
	}
	all := map[uint64]float64{}
	for _, r := range s.folder.Results {
		if r.Kind != relax.Snapshot || relaxOf(r.RelaxEpoch) != relaxed || r.Final.Test == nil {
			continue
		}
		for _, seed := range s.seeds() {
			all[seed] = r.Final.Test.Top1
		}
	}
	return all
}

// differences lists how far the runs of every kind and relax time end above the CNN and
// the fully-connected network.
func (s *study) differences() *table {
	t := newTable("model", ">− CNN", ">95 % interval", ">seeds", ">− FCN", ">95 % interval", ">seeds")
	t.Name = "Differences, run by run"
	t.Caption = "Accuracy at the end minus that of " + s.cnnName() + " and of the standard fully-connected network, in " +
		"percentage points, seed by seed: the mean and its interval by Student's t, over the seeds that both sides have."
	fcn := s.finals(relax.FCN, -1)
	for _, k := range s.folder.Settings.Embedded() {
		for _, at := range s.folder.Settings.RelaxEpochs {
			runs := s.finals(k, at)
			row := []string{name(k, &at)}
			for _, than := range []map[uint64]float64{s.cnnFinals(at), fcn} {
				d := paired(runs, than)
				if d == nil {
					row = append(row, "", "", "")
					continue
				}
				row = append(row, points(d.mean), d.interval(), number(int64(d.seeds)))
			}
			if row[1] != "" || row[4] != "" {
				t.add(row...)
			}
		}
	}
	return t
}

// answer says how far the eFCN ends above the CNN and the fully-connected network, at
// the relax time that ends highest, and what has to be known beside it.
func (s *study) answer() (sentence string, beside []string) {
	k := s.folder.Settings.Embedded()[0]
	seeds := s.common(k)
	if !s.whole(k) {
		beside = append(beside, s.unfinished(k, seeds))
	}
	var best *relax.Summary
	for _, sum := range groups(s.over(k, seeds), k) {
		if sum.FinalTop1 != nil && (best == nil || sum.FinalTop1.Mean > best.FinalTop1.Mean) {
			best = sum
		}
	}
	if best == nil {
		return "", beside
	}
	at := *best.RelaxEpoch
	runs := restrict(s.finals(k, at), seeds)
	sentence = fmt.Sprintf("Relaxed at epoch %d, the %s ends with %s %% of the test samples right", at, name(k, nil),
		percents(best.FinalTop1))
	join := ": "
	for _, than := range []struct {
		what string
		runs map[uint64]float64
	}{
		{s.cnnName(), s.cnnFinals(at)},
		{"the standard fully-connected network", s.finals(relax.FCN, -1)},
	} {
		if d := paired(runs, than.runs); d != nil {
			sentence += join + d.above(than.what)
			join = ", and "
		}
	}
	if len(s.folder.Settings.RelaxEpochs) > 1 {
		beside = append(beside, fmt.Sprintf("Of the relax times epoch %d ends highest. It was chosen on the same test "+
			"samples, so its figures are a little too high; the table of differences has all relax times.", at))
	}
	return sentence + ".", beside
}

// cnnName is the CNN that runs are compared with.
func (s *study) cnnName() string {
	if s.folder.Settings.Given != nil {
		return "the CNN that was given"
	}
	return "the CNN at its end"
}

// unfinished says which seeds a study that is not finished is compared over.
func (s *study) unfinished(k relax.Kind, seeds []uint64) string {
	text := "The study is not finished. "
	if len(seeds) == 0 {
		return text + fmt.Sprintf("No seed has the %s of every relax time and what they are compared with, so the relax "+
			"times are not compared with each other; differences are over the seeds that both sides have.", name(k, nil))
	}
	return text + fmt.Sprintf("Relax times are compared over %s of %d: those that have the %s of every relax time and "+
		"what they are compared with. Differences are over the seeds that both sides have.", plural(len(seeds), "seed"),
		s.folder.Settings.Seeds, name(k, nil))
}

// restrict keeps the values of some seeds.
func restrict(values map[uint64]float64, seeds []uint64) map[uint64]float64 {
	kept := map[uint64]float64{}
	for _, seed := range seeds {
		if v, ok := values[seed]; ok {
			kept[seed] = v
		}
	}
	return kept
}

// whole reports whether every run that a kind is compared with is there.
func (s *study) whole(k relax.Kind) bool {
	return !slices.ContainsFunc(s.folder.Missing, func(r relax.Run) bool {
		return r.Kind == k || r.Kind == relax.CNN || r.Kind == relax.FCN
	})
}

// common are the seeds that miss no run of a kind, nor of what it is compared with.
func (s *study) common(k relax.Kind) []uint64 {
	return slices.DeleteFunc(s.seeds(), func(seed uint64) bool {
		return slices.ContainsFunc(s.folder.Missing, func(r relax.Run) bool {
			return r.Seed == seed && (r.Kind == k || r.Kind == relax.CNN || r.Kind == relax.FCN)
		})
	})
}

// compared are the seeds that figures of a kind are over: those that miss no run of it
// or, where there are none, all.
func (s *study) compared(k relax.Kind) []uint64 {
	if seeds := s.common(k); len(seeds) > 0 {
		return seeds
	}
	return s.seeds()
}

func (s *study) seeds() []uint64 {
	seeds := make([]uint64, s.folder.Settings.Seeds)
	for i := range seeds {
		seeds[i] = s.folder.Settings.Seed + uint64(i)
	}
	return seeds
}

// over summarises the runs of some seeds, of a kind and what it is compared with.
func (s *study) over(k relax.Kind, seeds []uint64) []*relax.Summary {
	var results []*relax.Result
	for _, r := range s.folder.Results {
		if r.Seed != nil && !slices.Contains(seeds, *r.Seed) {
			continue
		}
		switch r.Kind {
		case k, relax.CNN, relax.FCN, relax.Snapshot:
			results = append(results, r)
		}
	}
	return relax.Summarise(results)
}
