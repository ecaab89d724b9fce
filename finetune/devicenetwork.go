package finetune

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"efcn/finetune/internal/memplan"
	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// deviceNetwork is a network on a device: what its program does, replayed in that order
// in memory that is planned as on the processor. gorgonia has no part in a step.
type deviceNetwork[T kernel.Float] struct {
	net     *network[T]
	memory  *deviceMemory[T]
	program *program[T]
	plan    *memplan.Plan
	params  map[*gorgonia.Node]*parameter[T]
	samples *buffer[T]
	logits  *buffer[T]

	// The step: both in their order, with the loss between them.
	forward  []deviceWork
	loss     deviceLoss[T]
	backward []deviceWork
	reads    []deviceGradient[T]
	fused    []*parameter[T] // that layers update themselves

	forms map[*op[T]]deviceForm[T] // while it is compiled
	at    map[*buffer[T]]cuda.Buffer[T]
}

// deviceWork adds what an op does to a stream.
type deviceWork struct {
	label string
	run   func(s *cuda.Stream) error
	op    any // *op[T]; nil for a sum
}

// deviceLoss is where the loss reads and writes.
type deviceLoss[T kernel.Float] struct{ logits, slope cuda.Buffer[T] }

// deviceGradient is where a finished step finds the gradient of a parameter.
type deviceGradient[T kernel.Float] struct {
	p        *deviceParameter[T]
	gradient cuda.Buffer[T]
}

// planOnDevice plans the memory of the network there.
func (a *assembler[T]) planOnDevice(logits *gorgonia.Node) (*deviceNetwork[T], error) {
	p, err := a.program(logits)
	if err != nil {
		return nil, err
	}
	n := &deviceNetwork[T]{
		net: a.net, memory: a.form.device, program: p, plan: p.Plan(), samples: a.samples, logits: p.at[logits],
		params: map[*gorgonia.Node]*parameter[T]{},
	}
	for p, node := range a.leaves {
		n.params[node] = p
	}
	n.memory.networks = append(n.memory.networks, n)
	return n, nil
}

// compile makes the forms of the layers and lists the work of a step.
func (n *deviceNetwork[T]) compile(t *cuda.Thread) error {
	d := n.memory
	n.at, n.forms = n.place(), map[*op[T]]deviceForm[T]{}
	n.forward, n.backward, n.reads, n.fused = nil, nil, nil, nil
	maker := &formMaker[T]{thread: t, n: n.net.batch, memory: d, at: n.at}
	for _, w := range n.program.works {
		if err := n.add(maker, w); err != nil {
			return err
		}
	}
	for _, g := range n.net.reads {
		p, err := d.parameter(t, g.p)
		if err != nil {
			return err
		}
		n.reads = append(n.reads, deviceGradient[T]{p, n.at[n.program.at[g.node]]})
	}
	if d.counting {
		return nil
	}
	n.net.x = d.feed.x.Data()[:n.samples.size]
	return nil
}

// add compiles one operation of the program.
func (n *deviceNetwork[T]) add(m *formMaker[T], w work[T]) error {
	switch o := w.op; {
	case o == nil:
		n.addSum(w.sum)
	case o.loss:
		n.loss = deviceLoss[T]{n.at[n.logits], n.at[o.writes[0]]}
	case o.pass != nil:
		return n.addBackward(m, o)
	case o.layer != nil:
		form, err := formOf(m, o.layer)
		if errors.Is(err, errNoForm) && n.memory.counting {
			if !slices.Contains(n.memory.missing, o.label) {
				n.memory.missing = append(n.memory.missing, o.label)
			}
			err = nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.label, err)
		}
		n.forms[o] = form
		in, err := n.operands(m, o, o.operands)
		if err != nil {
			return err
		}
		out := n.at[o.result]
		n.forward = append(n.forward, deviceWork{
			o.label, func(s *cuda.Stream) error { return form.forward(s, in, out) }, o,
		})
	}
	return nil
}

// addSum adds up gradients in the first of them.
func (n *deviceNetwork[T]) addSum(of []*buffer[T]) {
	if len(of) < 2 {
		return
	}
	to := n.at[of[0]]
	for _, b := range of[1:] {
		more := n.at[b]
		n.backward = append(n.backward, deviceWork{
			"sum of gradients", func(s *cuda.Stream) error { return cuda.Add(s, to, to, more) }, nil,
		})
	}
}

// addBackward adds the backward step of a layer, and the updates that it does itself.
func (n *deviceNetwork[T]) addBackward(m *formMaker[T], o *op[T]) error {
	g := o.pass
	form := n.forms[g.forward]
	all, err := n.operands(m, o, o.operands)
	if err != nil {
		return err
	}
	k := len(g.in)
	p := devicePass[T]{in: all[:k], out: all[k], dout: all[k+1], din: make([]cuda.Buffer[T], k)}
	for i, b := range g.into {
		if b != nil {
			p.din[i] = n.at[b]
		}
	}
	n.backward = append(n.backward, deviceWork{
		o.label, func(s *cuda.Stream) error { return form.backward(s, p) }, o,
	})
	u := n.memory.update
	for _, i := range g.fused {
		param, err := n.memory.parameter(m.thread, g.in[i].param)
		if err != nil {
			return err
		}
		factors := u.factors[u.of(param.parameter)]
		n.fused = append(n.fused, param.parameter)
		n.backward = append(n.backward, deviceWork{o.label, func(s *cuda.Stream) error {
			if u.measure {
				err := form.parts(s, p, i, func(at int, part cuda.Buffer[T]) error {
					return errors.Join(u.norms.whole(s, u, param.parameter, at, part),
						u.norms.trained(s, u, param.parameter, at, part))
				})
				if err != nil {
					return err
				}
			}
			return form.update(s, p, i, factors)
		}, o})
	}
	return nil
}

// operands returns what an op reads; it is empty where the op does not look at it.
func (n *deviceNetwork[T]) operands(m *formMaker[T], o *op[T], nodes gorgonia.Nodes) ([]cuda.Buffer[T], error) {
	in := make([]cuda.Buffer[T], len(nodes))
	for i, node := range nodes {
		if p := n.params[node]; p != nil {
			on, err := n.memory.parameter(m.thread, p)
			if err != nil {
				return nil, err
			}
			in[i] = on.w
		} else if o.reads[i] {
			in[i] = n.at[n.program.at[node]]
		}
	}
	return in, nil
}

// step is network.step.
func (n *deviceNetwork[T]) step(u update[T]) error {
	var found error
	err := n.memory.do(func(t *cuda.Thread) error {
		s, update := t.Stream(), n.memory.update
		err := update.begin(s, &u)
		if err != nil {
			return err
		}
		update.measure = n.net.measured != nil
		if found, err = n.pass(s); found != nil || err != nil {
			return err
		}
		if err := n.memory.follow(s, n.reads); err != nil || !update.measure {
			return err
		}
		of := slices.Clone(n.fused)
		for _, g := range n.reads {
			of = append(of, g.p.parameter)
		}
		return update.norms.read(s, of, n.net.measured)
	})
	return errors.Join(err, found)
}

// gradient runs forward and backward on the weights that the host has, and reads the
// gradients into lists of that length.
func (n *deviceNetwork[T]) gradient(into [][]T) error {
	if err := n.memory.write(); err != nil {
		return err
	}
	var found error
	err := n.memory.do(func(t *cuda.Thread) (err error) {
		s := t.Stream()
		if found, err = n.pass(s); found != nil || err != nil {
			return err
		}
		for i, g := range n.reads {
			if err := cuda.Read(s, into[i], g.gradient); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, found)
}

// pass runs forward and backward, and the updates that layers do themselves. found is a loss
// that is not finite, which ends it before any weight changes.
func (n *deviceNetwork[T]) pass(s *cuda.Stream) (found, err error) {
	if err := n.load(s); err != nil {
		return nil, err
	}
	if err := runAll(s, n.forward); err != nil {
		return nil, err
	}
	if err := n.readLoss(s); err != nil {
		return nil, err
	}
	if isNotFinite(n.net.loss) {
		return n.notFinite(s), nil
	}
	if err := runAll(s, n.backward); err != nil {
		return nil, err
	}
	return nil, n.sumGradients(s)
}

func runAll(s *cuda.Stream, all []deviceWork) error {
	for _, w := range all {
		if err := w.run(s); err != nil {
			return fmt.Errorf("%s: %w", w.label, err)
		}
	}
	return nil
}

// load brings samples and labels to the device. What the host has of them may change when
// the loss is read.
func (n *deviceNetwork[T]) load(s *cuda.Stream) error {
	f, batch, size := &n.memory.feed, n.net.batch, n.samples.size
	labels := f.labels.Part(0, batch)
	for i, y := range n.net.labels {
		labels.Data()[i] = int32(y)
	}
	return errors.Join(
		cuda.Upload(f.copies, f.copied.Part(0, size), f.x.Part(0, size)),
		cuda.Upload(f.copies, f.classes.Part(0, batch), labels),
		f.copies.Record(f.arrived), s.Follow(f.arrived),
		cuda.Transpose(s, batch, size/max(1, batch), f.copied.Part(0, size), n.at[n.samples]),
	)
}

// readLoss computes the loss and the gradient there, and waits for the loss: one that is
// not finite has to end the step before any weight changes.
func (n *deviceNetwork[T]) readLoss(s *cuda.Stream) error {
	f, batch := &n.memory.feed, n.net.batch
	of := cuda.Loss{Losses: f.loss.Losses.Part(0, batch), Hits: f.loss.Hits.Part(0, batch)}
	err := errors.Join(
		cuda.CrossEntropy(s, n.net.classes, batch, n.loss.logits, f.classes, of, n.loss.slope),
		n.weigh(s),
		cuda.Sum(s, 0, of.Losses, f.sums.Part(0, 1)), cuda.Sum(s, 0, of.Hits, f.sums.Part(1, 2)),
		cuda.Download(s, f.known, f.sums), s.Wait(),
	)
	if err != nil {
		return err
	}
	sums, share := f.known.Data(), n.net.share
	if share.idle {
		clear(sums)
	}
	if err := n.net.team.sumOverGroups(sums); err != nil {
		return err
	}
	n.net.loss, n.net.hits = sums[0]/float64(share.batch), int(sums[1])
	return nil
}

// sumGradients is network.sumGradients.
func (n *deviceNetwork[T]) sumGradients(s *cuda.Stream) error {
	if !n.net.team.isGrouped() {
		return nil
	}
	for _, g := range n.reads {
		for at := 0; at < g.gradient.Len(); at += partSize {
			part := g.gradient.Part(at, min(at+partSize, g.gradient.Len()))
			values := n.net.partOf(part.Len())
			if err := cuda.Read(s, values, part); err != nil {
				return err
			}
			if err := n.net.ranks.sumGradients(values); err != nil {
				return err
			}
			if err := cuda.Write(s, part, values); err != nil {
				return err
			}
		}
	}
	return nil
}

// weigh makes the gradient of the mean loss of this group's samples a part of that of the
// batch.
func (n *deviceNetwork[T]) weigh(s *cuda.Stream) error {
	if !n.net.team.isGrouped() {
		return nil
	}
	return cuda.Scale(s, n.loss.slope, T(n.net.share.weight()))
}

// notFinite returns the error that names where in the forward pass a loss that is not
// finite begins: see network.notFinite.
func (n *deviceNetwork[T]) notFinite(s *cuda.Stream) error {
	found := &suspect{}
	for turn, w := range n.forward { // to the end: other ranks may find it later, or not at all
		if err := w.run(s); err != nil {
			return err
		}
		if found.Where != "" {
			continue
		}
		o := w.op.(*op[T])
		what, err := n.inspect(s, o)
		if err != nil {
			return err
		}
		if what != "" {
			found = &suspect{turn, fmt.Sprintf("%s of %s", what, o.label)}
		}
	}
	first, err := found.first(n.net.team)
	if err != nil {
		return err
	}
	return notFiniteAt(cmp.Or(first.Where, "though all logits are"))
}

// inspect looks for what is not finite in the weights and the output of an op.
func (n *deviceNetwork[T]) inspect(s *cuda.Stream, o *op[T]) (string, error) {
	look := func(what string, b cuda.Buffer[T]) (string, error) {
		values := make([]T, b.Len())
		if err := cuda.Read(s, values, b); err != nil {
			return "", err
		}
		if v, ok := findNotFinite(values); ok {
			return fmt.Sprintf("%v first shows in the %s", v, what), nil
		}
		return "", nil
	}
	for _, node := range o.operands {
		if p := n.params[node]; p != nil {
			if what, err := look(fmt.Sprintf("weights %q", p.name), n.memory.update.parameters[p].w); what != "" || err != nil {
				return what, err
			}
		}
	}
	return look("output", n.at[o.result])
}
