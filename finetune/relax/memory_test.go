package relax_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/finetune"
	"efcn/finetune/relax"
)

// A run that takes more memory than is allowed is refused with the figures, before
// anything is written.
func TestStudyRefusesMemory(t *testing.T) {
	for _, c := range []struct {
		with      []relax.Kind
		optimizer finetune.Optimizer
		kind      relax.Kind
		layout    convert.Options
		copies    int64
	}{
		{nil, finetune.Optimizer{}, relax.EFCN, convert.Options{Layout: record.Dense}, 1},
		{nil, finetune.Optimizer{Momentum: 0.5}, relax.EFCN, convert.Options{Layout: record.Dense}, 3},
		{nil, finetune.Optimizer{Method: finetune.Adam}, relax.EFCN, convert.Options{Layout: record.Dense}, 4},
		{
			[]relax.Kind{relax.Tied},
			finetune.Optimizer{},
			relax.Tied,
			convert.Options{Layout: record.Dense},
			2,
		},
		{
			[]relax.Kind{relax.ELCN, relax.Factored(20, "", 0)},
			finetune.Optimizer{},
			relax.Factored(20, "", 0),
			convert.Options{Layout: record.Factored, Rank: 20},
			1,
		},
	} {
		plan, err := convert.NewPlan(toyCNN(1), c.layout)
		if err != nil {
			t.Fatal(err)
		}
		// The layers have 32 and 4 outputs; a batch has 20 samples.
		weights, values := c.copies*plan.WeightBytes, int64(4*20*(32+4))
		s := toyStudy(c.with...)
		s.Options.Train.Optimizer, s.Options.MaxMemory = c.optimizer, weights+values-1
		dir := filepath.Join(t.TempDir(), "study")
		_, err = s.Run(t.Context(), dir)
		var refused *relax.MemoryError
		if !errors.As(err, &refused) || refused.Kind != c.kind || refused.Weights != weights ||
			refused.Values != values || refused.Need != weights+values || refused.Machine {
			t.Errorf("%s: %v, want weights %d, values %d", c.kind, err, weights, values)
		}
		if _, err := s.Estimate(t.Context()); !errors.As(err, &refused) {
			t.Errorf("%s: an estimate: %v", c.kind, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the folder is there (%v)", c.kind, err)
		}
		s.Options.MaxMemory++
		if _, err := s.Estimate(t.Context()); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
	}
}
