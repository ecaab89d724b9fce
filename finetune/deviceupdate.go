package finetune

import (
	"errors"
	"math"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// deviceUpdate is what moves parameters on a device. What changes from step to step lies
// there.
type deviceUpdate[T kernel.Float] struct {
	numbers cuda.Buffer[T]
	host    cuda.Host[T] // numbers
	// What of numbers layers read: Step of the parameters, and the factors of the updates
	// that layers do themselves; see of.
	step, factors [numberSets]cuda.Buffer[T]

	squares cuda.Buffer[float64] // for clipping: of all gradients, and of those of which ranks have parts
	room    cuda.Buffer[float64] // of cuda.SumSquares
	norms   *deviceNorms[T]      // nil where nothing is ever measured
	measure bool                 // in this step

	parameters map[*parameter[T]]*deviceParameter[T]
}

// deviceParameter is a parameter on a device.
type deviceParameter[T kernel.Float] struct {
	*parameter[T]
	w     cuda.Buffer[T]
	state []cuda.Buffer[T]
	mask  cuda.Buffer[uint32] // empty where everything is trained
	ties  *cuda.Ties          // nil for none
}

// numberSets is how many kinds of parameters have numbers of their own: V of factored layers
// does not decay, and where V was chosen anew, the steps of U and V are counted from there.
const (
	basisNumbers = 1
	laterNumbers = 2
	numberSets   = 4
)

func newDeviceUpdate[T kernel.Float](d *deviceMemory[T], t *cuda.Thread) (*deviceUpdate[T], error) {
	u := &deviceUpdate[T]{parameters: map[*parameter[T]]*deviceParameter[T]{}}
	if d.options.Checkpoint != "" {
		var err error
		if u.norms, err = newDeviceNorms(d, t); err != nil {
			return nil, err
		}
	}
	const size, factors = cuda.StepSize, 2
	var errs [4]error
	u.numbers, errs[0] = allocated[T](d, t, numberSets*(size+factors))
	u.host, errs[1] = pinned[T](d, t, numberSets*(size+factors))
	u.squares, errs[2] = allocated[float64](d, t, 2)
	u.room, errs[3] = allocated[float64](d, t, cuda.SquaresRoom)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	for i := range numberSets {
		u.step[i] = u.numbers.Part(i*size, (i+1)*size)
		u.factors[i] = u.numbers.Part(numberSets*size+i*factors, numberSets*size+(i+1)*factors)
	}
	return u, nil
}

// begin brings the numbers of a step to the device, before it computes any of it.
func (d *deviceUpdate[T]) begin(s *cuda.Stream, u *update[T]) error {
	since := 0 // one step for all: that before which V was chosen
	for p := range d.parameters {
		since = max(since, p.since)
	}
	var sets [numberSets]update[T]
	for i := range sets {
		sets[i] = *u
		if i&basisNumbers != 0 {
			sets[i].WeightDecay = 0
		}
		if i&laterNumbers != 0 {
			sets[i].step -= since
		}
	}
	numbers := d.host.Data()[:0]
	for _, u := range sets {
		numbers = append(numbers, u.numbers().Values()...)
	}
	for _, u := range sets {
		numbers = append(numbers, -T(u.rate), T(u.keep(u.rate)))
	}
	return cuda.Upload(s, d.numbers, d.host)
}

// numbers are those of an update that change from step to step.
func (u *update[T]) numbers() cuda.Step[T] {
	n := float64(u.step)
	return cuda.Step[T]{
		Rate: T(u.rate), Factor: 1, Keep: T(u.keep(u.rate)),
		Size: T(u.rate / (1 - math.Pow(adamBeta1, n))), Root: T(math.Sqrt(1 - math.Pow(adamBeta2, n))),
	}
}

// of is which of the numbers are those of p. Of its factors none depends on the step.
func (d *deviceUpdate[T]) of(p *parameter[T]) (i int) {
	if p.basis {
		i |= basisNumbers
	}
	if p.since > 0 {
		i |= laterNumbers
	}
	return i
}

// parameter returns a parameter on the device, with the optimiser's state.
func (d *deviceMemory[T]) parameter(t *cuda.Thread, p *parameter[T]) (*deviceParameter[T], error) {
	if found := d.update.parameters[p]; found != nil {
		return found, nil
	}
	w, err := d.mirror(t, p.values)
	if err != nil {
		return nil, err
	}
	on := &deviceParameter[T]{parameter: p, w: w}
	d.update.parameters[p] = on
	if p.tie != nil {
		if on.ties, err = d.ties(t, p); err != nil {
			return nil, err
		}
	}
	if p.mask != nil {
		if on.mask, err = d.bits(t, len(p.values), p.mask, 0, p.mask.support.Rows()); err != nil {
			return nil, err
		}
	}
	if p.frozen || d.options.Optimizer.States() == 0 {
		return on, nil
	}
	p.grow(d.options.Optimizer.States())
	for _, values := range p.state {
		state, err := d.mirror(t, values)
		if err != nil {
			return nil, err
		}
		on.state = append(on.state, state)
	}
	return on, nil
}

// ties brings the lists of entries that move together to the device.
func (d *deviceMemory[T]) ties(t *cuda.Thread, p *parameter[T]) (*cuda.Ties, error) {
	starts, entries := []int64{0}, []int64(nil)
	p.tie.lists(len(p.values), func(list []int64) {
		entries = append(entries, list...)
		starts = append(starts, int64(len(entries)))
	})
	on := &cuda.Ties{}
	var errs [4]error
	on.Starts, errs[0] = allocated[int64](d, t, len(starts))
	on.Entries, errs[1] = allocated[int64](d, t, len(entries))
	if errors.Join(errs[:]...) == nil {
		errs[2], errs[3] = cuda.Write(t.Stream(), on.Starts, starts), cuda.Write(t.Stream(), on.Entries, entries)
	}
	return on, errors.Join(errs[:]...)
}

// follow moves parameters along their gradients, as network.step does.
func (d *deviceMemory[T]) follow(s *cuda.Stream, reads []deviceGradient[T]) error {
	u, o := d.update, d.options
	for _, g := range reads {
		if err := u.restrict(s, g); err != nil {
			return err
		}
	}
	if o.Clip > 0 && len(reads) > 0 {
		if err := d.sumSquares(s, reads); err != nil {
			return err
		}
		for _, step := range u.step {
			if err := cuda.ClipFactor(s, o.Clip, u.squares.Part(0, 1), step); err != nil {
				return err
			}
		}
	}
	for _, g := range reads {
		if err := u.move(s, o.Optimizer, g); err != nil {
			return err
		}
	}
	return nil
}

// sumSquares sums the squares of all gradients, of parts over the ranks: network.gradientNorm.
func (d *deviceMemory[T]) sumSquares(s *cuda.Stream, reads []deviceGradient[T]) error {
	u := d.update
	if err := cuda.Clear(s, u.squares); err != nil {
		return err
	}
	whole, parts := u.squares.Part(0, 1), u.squares.Part(1, 2)
	for _, g := range reads {
		to := whole
		if g.p.cut {
			to = parts
		}
		if err := cuda.SumSquares(s, g.gradient, cuda.Buffer[uint32]{}, cuda.Outside, 1, u.room, to); err != nil {
			return err
		}
	}
	if d.trainee.ranks == nil {
		return nil
	}
	var sums [2]float64
	if err := cuda.Read(s, sums[:], u.squares); err != nil {
		return err
	}
	if err := d.trainee.ranks.sum(sums[1:]); err != nil {
		return err
	}
	return cuda.Write(s, whole, []float64{sums[0] + sums[1]})
}

// restrict makes a gradient that of what is trained.
func (d *deviceUpdate[T]) restrict(s *cuda.Stream, g deviceGradient[T]) error {
	if d.measure {
		if err := d.norms.whole(s, d, g.p.parameter, 0, g.gradient); err != nil {
			return err
		}
	}
	if g.p.mask.Len() > 0 {
		if err := cuda.Restrict(s, g.p.mask, g.gradient); err != nil {
			return err
		}
	}
	if g.p.ties != nil {
		if err := cuda.Tie(s, *g.p.ties, g.gradient); err != nil {
			return err
		}
	}
	if d.measure {
		return d.norms.trained(s, d, g.p.parameter, 0, g.gradient)
	}
	return nil
}

// move moves a parameter along its gradient.
func (d *deviceUpdate[T]) move(s *cuda.Stream, o Optimizer, g deviceGradient[T]) error {
	if g.p.basis {
		o.WeightDecay, o.Lambda = 0, 0
	}
	m := cuda.Move[T]{W: g.p.w, G: g.gradient, Step: d.step[d.of(g.p.parameter)], Mask: g.p.mask, Decay: T(o.WeightDecay)}
	switch {
	case o.Method == Adam || o.Method == AdamW:
		return cuda.Adam(s, m, o.Method == AdamW, g.p.state[0], g.p.state[1])
	case o.Method == BetaLasso:
		return cuda.BetaLasso(s, m, T(o.Lambda), T(o.Beta*o.Lambda))
	case o.Momentum > 0:
		return cuda.Momentum(s, m, T(o.Momentum), o.Nesterov, g.p.state[0])
	}
	return cuda.SGD(s, m)
}
