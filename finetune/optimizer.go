package finetune

import (
	"fmt"
	"math"

	"efcn/internal/kernel"
)

// Method names an optimiser.
type Method string

// The optimisers, each as PyTorch defines it where PyTorch has it.
const (
	SGD   Method = "sgd"
	Adam  Method = "adam"  // Kingma and Ba, arXiv 1412.6980; weight decay is part of the gradient
	AdamW Method = "adamw" // Loshchilov and Hutter, arXiv 1711.05101; weight decay is apart from it
	// BetaLasso is w ← w − rate·(∇ + λ·sign w), then 0 for every |w| < β·λ
	// (Neyshabur, arXiv 2007.13657).
	BetaLasso Method = "beta-lasso"
)

// Methods lists the optimisers in the order of their documentation.
func Methods() []Method { return []Method{SGD, Adam, AdamW, BetaLasso} }

// The constants of Adam and AdamW.
const (
	adamBeta1   = 0.9
	adamBeta2   = 0.999
	adamEpsilon = 1e-8
)

// Optimizer says how weights move along their gradients. The zero value is
// plain SGD.
type Optimizer struct {
	// Method is the optimiser; "" means SGD.
	Method Method `json:"method"`
	// Momentum of SGD, from 0 to below 1.
	Momentum float64 `json:"momentum,omitempty"`
	// Nesterov takes the gradient ahead of the momentum.
	Nesterov bool `json:"nesterov,omitempty"`
	// WeightDecay adds so many times the weight to its gradient; AdamW
	// multiplies the weight by 1 − rate·WeightDecay instead.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// Lambda and Beta are those of BetaLasso; a Beta of 0 means 50.
	Lambda float64 `json:"lambda,omitempty"`
	Beta   float64 `json:"beta,omitempty"`
}

func (o Optimizer) withDefaults() Optimizer {
	if o.Method == "" {
		o.Method = SGD
	}
	if o.Method == BetaLasso && o.Beta == 0 {
		o.Beta = 50
	}
	return o
}

// validate reports fields that are out of range, or that the method has no use
// for.
func (o Optimizer) validate() (errs []error) {
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	o = o.withDefaults()
	switch o.Method {
	case SGD, Adam, AdamW, BetaLasso:
	default:
		say("optimizer %q: want one of %q", o.Method, Methods())
		return errs
	}
	finite := func(name string, v float64) {
		if !(v >= 0) || math.IsInf(v, 0) {
			say("%s: want a number from 0, got %g", name, v)
		}
	}
	finite("weight decay", o.WeightDecay)
	finite("beta-lasso's lambda", o.Lambda)
	finite("beta-lasso's beta", o.Beta)
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		say("momentum: want a number from 0 to below 1, got %g", o.Momentum)
	}
	if o.Momentum > 0 && o.Method != SGD {
		say("momentum %g: %s has none; only sgd does", o.Momentum, o.Method)
	}
	if o.Nesterov && o.Momentum == 0 {
		say("nesterov: want a momentum above 0")
	}
	if o.Method == BetaLasso {
		if o.Lambda == 0 {
			say("beta-lasso: want a lambda above 0")
		}
		if o.WeightDecay > 0 {
			say("weight decay %g: beta-lasso shrinks weights by its lambda; want 0", o.WeightDecay)
		}
	} else if o.Lambda != 0 || o.Beta != 0 {
		say("lambda and beta are beta-lasso's, not those of %s", o.Method)
	}
	return errs
}

// fuses reports whether a layer can do the update itself: w ← keep·w − rate·∇.
func (o Optimizer) fuses() bool { return o.Method == SGD && o.Momentum == 0 }

// keep is the factor of the weight in a fused update.
func (o Optimizer) keep(rate float64) float64 { return 1 - rate*o.WeightDecay }

// States returns how many values the optimiser keeps for every weight.
func (o Optimizer) States() int {
	switch {
	case o.Method == Adam || o.Method == AdamW:
		return 2
	case o.Momentum > 0:
		return 1
	default:
		return 0
	}
}

// update is what one step does with the gradients.
type update[T kernel.Float] struct {
	Optimizer
	rate float64
	step int     // from 1, over the whole run
	clip float64 // greatest norm of all gradients together; 0 for any
}

// sgd is the update of plain SGD.
func sgd[T kernel.Float](rate float64) update[T] {
	return update[T]{Optimizer: Optimizer{Method: SGD}, rate: rate, step: 1}
}

// apply moves weights w along factor times their gradients g. state holds
// States() values for each weight, list by list; w and state are modified.
func (u *update[T]) apply(factor T, w, g []T, state [][]T) {
	rate, decay := T(u.rate), T(u.WeightDecay)
	switch {
	case u.Method == Adam || u.Method == AdamW:
		u.adam(factor, w, g, state[0], state[1])
	case u.Method == BetaLasso:
		lambda, least := T(u.Lambda), T(u.Beta*u.Lambda)
		for i, v := range w {
			d := factor * g[i]
			if v > 0 {
				d += lambda
			} else if v < 0 {
				d -= lambda
			}
			v -= rate * d
			if v < least && -v < least {
				v = 0
			}
			w[i] = v
		}
	case u.Momentum > 0:
		momentum, b := T(u.Momentum), state[0]
		for i, v := range w {
			d := factor*g[i] + decay*v
			b[i] = momentum*b[i] + d
			if u.Nesterov {
				d += momentum * b[i]
			} else {
				d = b[i]
			}
			w[i] = v - rate*d
		}
	default:
		for i, v := range w {
			w[i] = v - rate*(factor*g[i]+decay*v)
		}
	}
}

func (u *update[T]) adam(factor T, w, g, m, v []T) {
	n := float64(u.step)
	size := T(u.rate / (1 - math.Pow(adamBeta1, n)))
	root := T(math.Sqrt(1 - math.Pow(adamBeta2, n)))
	decay, keep := T(u.WeightDecay), T(1)
	if u.Method == AdamW {
		decay, keep = 0, T(u.keep(u.rate))
	}
	beta2, rest1, rest2 := T(adamBeta2), T(1-adamBeta1), T(1-adamBeta2)
	for i, x := range w {
		x *= keep
		d := factor*g[i] + decay*x
		m[i] += rest1 * (d - m[i])
		v[i] = beta2*v[i] + rest2*d*d
		w[i] = x - size*m[i]/(T(math.Sqrt(float64(v[i])))/root+adamEpsilon)
	}
}

// clipFactor is what all gradients are multiplied by when their norm together
// is norm, as torch.nn.utils.clip_grad_norm_ has it.
func (u *update[T]) clipFactor(norm float64) float64 {
	if u.clip == 0 {
		return 1
	}
	return min(1, u.clip/(norm+1e-6))
}
