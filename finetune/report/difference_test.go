package report

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"efcn/finetune"
	"efcn/finetune/relax"
)

func bySeed(values ...float64) map[uint64]float64 {
	m := map[uint64]float64{}
	for i, v := range values {
		m[uint64(i)] = v
	}
	return m
}

// The numbers are those of testdata/t_intervals.py, which has another way to quantiles
// of Student's t.
func TestPaired(t *testing.T) {
	for i, c := range []struct {
		a, b       []float64
		mean, half float64
	}{
		{[]float64{0.7916, 0.7899, 0.7950}, []float64{0.7574, 0.7576, 0.7516}, 0.036633333333, 0.014747355743},
		{
			[]float64{0.8, 0.81, 0.79, 0.805, 0.802},
			[]float64{0.801, 0.808, 0.791, 0.804, 0.8005},
			0.000500000000, 0.001755978066,
		},
		{[]float64{0.5, 0.7}, []float64{0.4, 0.45}, 0.175, 0.952965355213},
	} {
		a, b := bySeed(c.a...), bySeed(c.b...)
		a[77], b[88] = 0.1, 0.9 // seeds of one side alone
		d := paired(a, b)
		if math.Abs(d.mean-c.mean) > 1e-11 || math.Abs(d.half-c.half) > 1e-9 || d.seeds != len(c.a) {
			t.Errorf("case %d: %+v; want %v ± %v over %d", i, d, c.mean, c.half, len(c.a))
		}
		if d.told() != (math.Abs(c.mean) > c.half) {
			t.Errorf("case %d: told from none: %t", i, d.told())
		}
	}
	if d := paired(bySeed(0.5), map[uint64]float64{3: 1}); d != nil {
		t.Errorf("no common seed: %+v", d)
	}
	if d := paired(bySeed(0.5), bySeed(0.25)); d.mean != 0.25 || !math.IsNaN(d.half) || d.interval() != "" || d.told() {
		t.Errorf("one seed: %+v", d)
	}
}

func TestDifferencesInWords(t *testing.T) {
	for want, d := range map[string]*difference{
		"3.66 points above the CNN (95 % interval +2.19 to +5.14; 3 seeds, paired)": {0.036633, 3, 0.014747},
		"1.00 points below the CNN (95 % interval −1.50 to −0.50; 4 seeds, paired)": {-0.01, 4, 0.005},
		"0.10 points below the CNN, which 4 seeds do not tell from none (95 % interval −0.60 to +0.40, paired)": {
			-0.001, 4, 0.005,
		},
		"3.66 points above the CNN (one seed: no interval)": {0.036633, 1, math.NaN()},
	} {
		if got := d.above("the CNN"); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// sketch is a study whose runs end with accuracies by kind, relax time (-1 for none) and
// seed; a NaN is a run that is missing.
func sketch(accuracies map[relax.Kind]map[int][]float64, seeds int, times ...int) *study {
	f := &relax.Folder{Settings: &relax.Settings{Seeds: seeds, RelaxEpochs: times, Epochs: 1}}
	for kind, at := range accuracies {
		for epoch, values := range at {
			for i, v := range values {
				seed := uint64(i)
				if math.IsNaN(v) {
					f.Missing = append(f.Missing, relax.Run{Kind: kind, Seed: seed, Relax: epoch})
					continue
				}
				r := &relax.Result{Kind: kind, Seed: &seed, Final: relax.State{Test: &finetune.Metrics{Top1: v}}}
				if epoch >= 0 {
					r.RelaxEpoch = &epoch
				}
				f.Results = append(f.Results, r)
			}
		}
	}
	return &study{folder: f, sums: relax.Summarise(f.Results)}
}

func TestAnswer(t *testing.T) {
	none := math.NaN()
	whole := map[relax.Kind]map[int][]float64{
		relax.CNN: {-1: {0.7574, 0.7576, 0.7516}}, relax.FCN: {-1: {0.76, 0.75, 0.77}},
		relax.EFCN: {0: {0.70, 0.71, 0.72}, 5: {0.7916, 0.7899, 0.7950}},
	}
	sentence, beside := sketch(whole, 3, 0, 5).answer()
	for _, want := range []string{
		"Relaxed at epoch 5, the eFCN ends with 79.22 ± 0.26 % of the test samples right: ",
		"3.66 points above the CNN at its end (95 % interval +2.19 to +5.14; 3 seeds, paired), and ",
		"3.22 points above the standard fully-connected network (",
	} {
		if !strings.Contains(sentence, want) {
			t.Errorf("%q does not say %q", sentence, want)
		}
	}
	if text := strings.Join(beside, " "); strings.Contains(text, "not finished") || !strings.Contains(text, "a little too high") {
		t.Errorf("%q", text)
	}

	// Epoch 6 of one seed is above the mean of two at epoch 5, and is not compared with it.
	part := map[relax.Kind]map[int][]float64{
		relax.CNN: {-1: {0.75, 0.76}}, relax.FCN: {-1: {0.74, none}},
		relax.EFCN: {5: {0.80, 0.70}, 6: {0.79, none}},
	}
	s := sketch(part, 2, 5, 6)
	sentence, beside = s.answer()
	if want := "Relaxed at epoch 5, the eFCN ends with 80.00 % of the test samples right: 5.00 points above the CNN at its " +
		"end (one seed: no interval), and 6.00 points above the standard fully-connected network (one seed: no interval)."; sentence != want {
		t.Errorf("%q\nwant %q", sentence, want)
	}
	if text := strings.Join(beside, " "); !strings.Contains(text, "over 1 seed of 2") {
		t.Errorf("%q", text)
	}
	// The differences are over what both sides have: of two seeds to the CNN at epoch 5.
	rows := fmt.Sprint(s.differences().Rows)
	if want := "[[eFCN from 5 −0.50 −70.38 to +69.38 2 +6.00  1] [eFCN from 6 +4.00  1 +5.00  1]]"; rows != want {
		t.Errorf("%s; want %s", rows, want)
	}
	// Its figures are over that seed too.
	c := s.accuracyOf(relax.EFCN, "a", func(sum *relax.Summary) *relax.Mean { return sum.FinalTop1 })
	if got := fmt.Sprint(c.Lines[0].Y); got != "[80 79]" {
		t.Errorf("the figure has %s", got)
	}

	// Where no seed is whole, no relax time is called the highest.
	part[relax.EFCN] = map[int][]float64{5: {0.80, none}, 6: {none, 0.79}}
	sentence, beside = sketch(part, 2, 5, 6).answer()
	if text := strings.Join(beside, " "); sentence != "" || !strings.Contains(text, "not compared with each other") {
		t.Errorf("%q, %q", sentence, text)
	}
}

func TestNumbers(t *testing.T) {
	sd := func(v float64) *float64 { return &v }
	for got, want := range map[string]string{
		plain(&relax.Mean{Mean: 1, SD: sd(3.8e-6)}): "1.00 ± 0.00", plain(&relax.Mean{Mean: 0.998, SD: sd(0.0004)}): "0.998 ± 0.000",
		plain(&relax.Mean{Mean: 0.0795, SD: sd(0.001)}): "0.0795 ± 0.0010", plain(nil): "", short(1234.5): "1,234",
		short(0.9999): "1.00", short(0): "0", short(3e-9): "3e-09", number(451584): "451,584",
		points(0.0123): "+1.23", points(-0.0123): "−1.23", points(0.00001): "0.00", points(-0.00001): "0.00",
		percents(&relax.Mean{Mean: 0.7861, SD: sd(0.0021)}): "78.61 ± 0.21",
	} {
		if got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}
