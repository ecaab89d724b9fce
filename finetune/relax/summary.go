package relax

import (
	"math"
)

// Summary is what the results of one kind, and of one relax time, come to over
// the seeds: a row of summary.csv.
type Summary struct {
	Kind       Kind `json:"kind"`
	RelaxEpoch *int `json:"relax_epoch,omitempty"`
	Runs       int  `json:"runs"`   // that ended with a result
	Failed     int  `json:"failed"` // that did not

	StartTop1     *Mean `json:"start_test_top1,omitempty"`
	FinalTop1     *Mean `json:"final_test_top1,omitempty"`
	BestTop1      *Mean `json:"best_test_top1,omitempty"`
	TrainLoss     *Mean `json:"final_train_loss,omitempty"`
	Distance      *Mean `json:"distance,omitempty"`
	OffLocal      *Mean `json:"off_local,omitempty"`
	Travelled     *Mean `json:"travelled,omitempty"`
	ProjectedTop1 *Mean `json:"projected_test_top1,omitempty"`
}

// Mean is the mean of one number over several runs.
type Mean struct {
	Mean float64 `json:"mean"`
	// SD is the standard deviation of the sample: with n − 1. It is nil for one
	// run.
	SD *float64 `json:"sd,omitempty"`
}

// Summarise puts the results of equal kind and relax time together, in the
// order in which they come first.
func Summarise(results []*Result) []*Summary {
	type key struct {
		kind  Kind
		relax int
	}
	var order []key
	groups := map[key][]*Result{}
	for _, r := range results {
		k := key{r.Kind, -1}
		if r.RelaxEpoch != nil {
			k.relax = *r.RelaxEpoch
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	var all []*Summary
	for _, k := range order {
		all = append(all, summarise(groups[k]))
	}
	return all
}

func summarise(group []*Result) *Summary {
	s := &Summary{Kind: group[0].Kind, RelaxEpoch: group[0].RelaxEpoch}
	var done []*Result
	for _, r := range group {
		if r.Failed == "" {
			done = append(done, r)
		}
	}
	s.Runs, s.Failed = len(done), len(group)-len(done)
	for _, q := range quantities {
		var values []float64
		for _, r := range done {
			if v := q.of(r); v != nil {
				values = append(values, *v)
			}
		}
		*q.mean(s) = mean(values)
	}
	return s
}

// mean returns nil where there are no values.
func mean(values []float64) *Mean {
	if len(values) == 0 {
		return nil
	}
	n := float64(len(values))
	m := &Mean{}
	for _, v := range values {
		m.Mean += v / n
	}
	if len(values) > 1 {
		var squares float64
		for _, v := range values {
			squares += (v - m.Mean) * (v - m.Mean)
		}
		sd := math.Sqrt(squares / (n - 1))
		m.SD = &sd
	}
	return m
}

// quantities are what a summary has means of, by their names in summary.csv.
var quantities = []struct {
	name string
	of   func(r *Result) *float64
	mean func(s *Summary) **Mean
}{
	{
		"start_test_top1", func(r *Result) *float64 { return top1(r.Start.Test) },
		func(s *Summary) **Mean { return &s.StartTop1 },
	},
	{
		"final_test_top1", func(r *Result) *float64 { return top1(r.Final.Test) },
		func(s *Summary) **Mean { return &s.FinalTop1 },
	},
	{"best_test_top1", func(r *Result) *float64 { return r.BestTop1 }, func(s *Summary) **Mean { return &s.BestTop1 }},
	{
		"final_train_loss", func(r *Result) *float64 { return loss(r.Final.Train) },
		func(s *Summary) **Mean { return &s.TrainLoss },
	},
	{"distance", func(r *Result) *float64 { return r.Final.distance() }, func(s *Summary) **Mean { return &s.Distance }},
	{"off_local", func(r *Result) *float64 { return r.Final.offLocal() }, func(s *Summary) **Mean { return &s.OffLocal }},
	{"travelled", func(r *Result) *float64 { return r.Final.Travelled }, func(s *Summary) **Mean { return &s.Travelled }},
	{
		"projected_test_top1", func(r *Result) *float64 { return top1(r.Projected) },
		func(s *Summary) **Mean { return &s.ProjectedTop1 },
	},
}
