package relax

import (
	"context"
	"math"
	"time"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/onnxio"
)

// Estimate says what a study will take.
type Estimate struct {
	Plan  *convert.Plan `json:"plan"` // of the embedding that trains all weights
	Costs []*Cost       `json:"runs"`
	// Seconds are those of all runs.
	Seconds float64 `json:"seconds"`
	// DiskBytes is the size of the folder when all is done; RunBytes what the
	// checkpoint of the run that is going on takes beyond that.
	DiskBytes int64 `json:"disk_bytes"`
	RunBytes  int64 `json:"run_bytes"`
	// PeakBytes is the most memory that the process had while it took the steps
	// that were measured.
	PeakBytes int64 `json:"peak_bytes"`
}

// Cost is that of the runs of one kind.
type Cost struct {
	Kind   Kind `json:"kind"`
	Runs   int  `json:"runs"`
	Epochs int  `json:"epochs"` // of each
	// WeightBytes is the size of all weights of its model.
	WeightBytes int64   `json:"weight_bytes"`
	Step        float64 `json:"seconds_per_step"`
	Epoch       float64 `json:"seconds_per_epoch"` // with its measurements
	// Seconds are those of all runs of the kind.
	Seconds float64 `json:"seconds"`
}

// Estimate measures a few steps of every kind of run, writing nothing, and
// says what the study will take at that speed.
//
// One run is in memory at a time: its weights once, the samples, and the
// activations of a batch. With plain SGD over all weights that was 1.4 times the
// weights of the paper's eFCN (bench/step/README.md). A momentum takes them twice
// more, Adam three times, Local, OffLocal and Tied once: the gradient, and what
// the optimiser keeps. The estimate holds the weights as a run does.
func (s *Study) Estimate(ctx context.Context) (*Estimate, error) {
	own := *s
	s = &own // whose defaults are filled in
	plan, err := s.prepare()
	if err != nil {
		return nil, err
	}
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	e := &Estimate{Plan: plan}
	costs := map[Kind]*Cost{}
	for _, r := range settings.Runs() {
		if costs[r.Kind] == nil {
			costs[r.Kind] = &Cost{Kind: r.Kind, Epochs: s.options("", r).Epochs}
			e.Costs = append(e.Costs, costs[r.Kind])
		}
		costs[r.Kind].Runs++
	}
	for _, c := range e.Costs {
		if err := s.time(ctx, c); err != nil {
			return nil, err
		}
		c.Seconds = float64(c.Runs*c.Epochs) * c.Epoch
		e.Seconds += c.Seconds
		files := int64(2) // start and end
		if c.Kind == CNN {
			files += int64(len(s.Options.RelaxEpochs))
		}
		e.DiskBytes += int64(c.Runs) * files * c.WeightBytes
		e.RunBytes = max(e.RunBytes, int64(1+s.Options.Train.Optimizer.States())*c.WeightBytes)
	}
	e.PeakBytes = finetune.PeakBytes()
	return e, nil
}

// time measures what an epoch of a kind of run takes.
func (s *Study) time(ctx context.Context, c *Cost) (err error) {
	m := s.CNN
	if c.Kind != CNN {
		if m, err = s.embed(s.origin(), c.Kind); err != nil {
			return err
		}
	}
	c.WeightBytes = weightBytes(m)
	o := s.options("", Run{Kind: c.Kind})
	o.Checkpoint, o.Resume, o.Stepped = "", false, nil
	if c.Step, err = timeStep(ctx, m, s.Data, o, 1); err != nil {
		return err
	}
	// Short steps are measured over about half a second of them.
	if n := int(0.5 / c.Step); n > 1 {
		if c.Step, err = timeStep(ctx, m, s.Data, o, min(n, 50)); err != nil {
			return err
		}
	}
	part := s.Test.Head(4 * o.Batch)
	begin := time.Now()
	if _, err := s.evaluate(ctx, m, part); err != nil {
		return err
	}
	testing := time.Since(begin).Seconds() * float64(s.Test.N()) / float64(part.N())
	begin = time.Now()
	if c.Kind != CNN {
		if _, err := record.Measure(ctx, m, nil); err != nil {
			return err
		}
	}
	c.Epoch = c.Step*math.Ceil(float64(s.Data.N())/float64(o.Batch)) + testing + time.Since(begin).Seconds()
	return nil
}

// timeStep returns the seconds of a step, the mean over so many.
func timeStep(ctx context.Context, m *onnxio.Model, set *data.Set, o finetune.Options, steps int) (float64, error) {
	o.Epochs, o.Rate = 2, 1e-9 // of which the first warms up, and nothing diverges
	var seconds float64
	_, err := finetune.Train(ctx, m, set.Head(steps*o.Batch), nil, o, func(e finetune.Epoch) error {
		seconds = e.Seconds / float64(e.Steps/e.Epoch)
		return nil
	})
	return seconds, err
}
