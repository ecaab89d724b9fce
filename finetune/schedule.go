package finetune

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Schedule says how the learning rate changes over a run. The zero value keeps
// it constant.
type Schedule struct {
	// Kind is "constant", "step" or "cosine"; "" means constant.
	Kind string `json:"kind"`
	// Every is the number of epochs after which "step" multiplies the rate by
	// Factor, again and again; a Factor of 0 means 0.1.
	Every  int     `json:"every,omitempty"`
	Factor float64 `json:"factor,omitempty"`
	// Floor is the share of the rate that "cosine" comes down to at the end of
	// the run, along half a cosine (Loshchilov and Hutter, arXiv 1608.03983,
	// without restarts).
	Floor float64 `json:"floor,omitempty"`
	// Warmup is the number of epochs, whole or not, over which the rate rises
	// in equal steps to its full height. "cosine" starts after it.
	Warmup float64 `json:"warmup,omitempty"`
}

// ParseSchedule reads "constant", "step:EPOCHS", "step:EPOCHS,FACTOR", "cosine"
// or "cosine:FLOOR".
func ParseSchedule(text string) (Schedule, error) {
	kind, rest, given := strings.Cut(text, ":")
	s := Schedule{Kind: kind}
	var err error
	switch {
	case kind == "constant" && !given:
	case kind == "step" && given:
		every, factor, both := strings.Cut(rest, ",")
		if s.Every, err = strconv.Atoi(every); err == nil && both {
			s.Factor, err = strconv.ParseFloat(factor, 64)
			if s.Factor == 0 {
				err = errors.New("factor 0")
			}
		}
	case kind == "cosine" && given:
		s.Floor, err = strconv.ParseFloat(rest, 64)
	case kind == "cosine":
	default:
		err = errors.New("unknown")
	}
	if err == nil {
		err = s.validate()
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: want constant, step:EPOCHS[,FACTOR] or cosine[:FLOOR]", text)
	}
	return s, nil
}

func (s Schedule) validate() error {
	switch s.Kind {
	case "", "constant", "cosine":
	case "step":
		if s.Every < 1 {
			return fmt.Errorf("schedule: a step every %d epochs; want a number from 1", s.Every)
		}
	default:
		return fmt.Errorf("schedule %q: want constant, step or cosine", s.Kind)
	}
	if !(s.Factor >= 0) || math.IsInf(s.Factor, 0) {
		return fmt.Errorf("schedule: want a factor above 0, got %g", s.Factor)
	}
	if !(s.Floor >= 0 && s.Floor <= 1) {
		return fmt.Errorf("schedule: want a floor from 0 to 1, got %g", s.Floor)
	}
	if !(s.Warmup >= 0) || math.IsInf(s.Warmup, 0) {
		return fmt.Errorf("schedule: want a warm-up of 0 epochs or more, got %g", s.Warmup)
	}
	return nil
}

// factor is what the learning rate is multiplied by at a step, counted from 0
// over the whole run, which has so many steps an epoch and in all.
func (s Schedule) factor(step, perEpoch, total int) float64 {
	warm := int(math.Round(s.Warmup * float64(perEpoch)))
	if step < warm {
		return float64(step+1) / float64(warm)
	}
	switch s.Kind {
	case "step":
		factor := s.Factor
		if factor == 0 {
			factor = 0.1
		}
		return math.Pow(factor, float64(step/perEpoch/s.Every))
	case "cosine":
		along := float64(step-warm) / float64(max(1, total-warm))
		return s.Floor + (1-s.Floor)*(1+math.Cos(math.Pi*along))/2
	default:
		return 1
	}
}
