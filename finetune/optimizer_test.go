package finetune

import (
	"math"
	"strings"
	"testing"

	"efcn/onnxio"
)

func TestOptimizerRefuses(t *testing.T) {
	for want, o := range map[string]Optimizer{
		`optimizer "rmsprop": want one of ["sgd" "adam" "adamw" "beta-lasso"]`: {Method: "rmsprop"},
		"momentum: want a number from 0 to below 1, got 1":                     {Momentum: 1},
		"momentum 0.5: adamw has none; only sgd does":                          {Method: AdamW, Momentum: 0.5},
		"nesterov: want a momentum above 0":                                    {Nesterov: true},
		"weight decay: want a number from 0, got -1":                           {WeightDecay: -1},
		"beta-lasso: want a lambda above 0":                                    {Method: BetaLasso},
		"weight decay 0.1: beta-lasso shrinks weights by its lambda; want 0": {
			Method: BetaLasso, Lambda: 1,
			WeightDecay: 0.1,
		},
		"lambda and beta are beta-lasso's, not those of adam": {Method: Adam, Lambda: 1},
	} {
		if err := (Options{Optimizer: o}).Validate(); err == nil || err.Error() != want {
			t.Errorf("%+v: got %v, want %s", o, err, want)
		}
	}
}

func TestParseSchedule(t *testing.T) {
	for text, want := range map[string]Schedule{
		"constant":    {Kind: "constant"},
		"step:3":      {Kind: "step", Every: 3},
		"step:3,0.25": {Kind: "step", Every: 3, Factor: 0.25},
		"cosine":      {Kind: "cosine"},
		"cosine:0.1":  {Kind: "cosine", Floor: 0.1},
	} {
		if got, err := ParseSchedule(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "linear", "constant:1", "step", "step:0", "step:x", "step:1,", "step:1,0",
		"step:1,-2", "step:1,NaN", "cosine:", "cosine:2", "cosine:NaN",
	} {
		if _, err := ParseSchedule(text); err == nil ||
			!strings.Contains(err.Error(), "want constant, step:EPOCHS[,FACTOR] or cosine[:FLOOR]") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestScheduleFactors(t *testing.T) {
	for name, c := range map[string]struct {
		s    Schedule
		want []float64 // of 8 steps, 2 an epoch
	}{
		"constant": {Schedule{}, []float64{1, 1, 1, 1, 1, 1, 1, 1}},
		"step":     {Schedule{Kind: "step", Every: 2, Factor: 0.5}, []float64{1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5}},
		"step with warm-up": {
			Schedule{Kind: "step", Every: 1, Warmup: 1.5},
			[]float64{1. / 3, 2. / 3, 1, 0.1, 0.01, 0.01, 0.001, 0.001},
		},
		"cosine": {
			Schedule{Kind: "cosine", Warmup: 2, Floor: 0.2},
			[]float64{0.25, 0.5, 0.75, 1, 1, 0.2 + 0.4*(1+math.Sqrt2/2), 0.6, 0.2 + 0.4*(1-math.Sqrt2/2)},
		},
	} {
		for step, want := range c.want {
			if got := c.s.factor(step, 2, 8); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s: factor %g at step %d, want %g", name, got, step, want)
			}
		}
	}
}

// Plain SGD alone updates weights inside the backward product.
func TestOptimizerFuses(t *testing.T) {
	for _, c := range []struct {
		o     Options
		fuses bool
	}{
		{Options{}, true},
		{Options{Optimizer: Optimizer{WeightDecay: 0.1}}, true},
		{Options{Clip: 1}, false},
		{Options{Optimizer: Optimizer{Momentum: 0.1}}, false},
		{Options{Optimizer: Optimizer{Method: Adam}}, false},
	} {
		s, err := newSession(mustTrainee[float32](t, toyModel()), toySet(8, 1), c.o.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		if fused := len(s.rest.reads) < len(s.trainee.params); fused != c.fuses {
			t.Errorf("%+v: fused %v, want %v", c.o, fused, c.fuses)
		}
	}
}

func mustTrainee[T float32 | float64](t *testing.T, m *onnxio.Model) *trainee[T] {
	t.Helper()
	tr, err := newTrainee[T](m, TrainAll)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}
