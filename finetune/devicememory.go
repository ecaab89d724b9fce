package finetune

import (
	"context"
	"errors"
	"unsafe"

	"efcn/finetune/internal/memplan"
	"efcn/internal/cuda"
	"efcn/internal/kernel"
)

// deviceMemory is what a run has on a device, for all of its networks: parameters, the
// optimiser's state, and what a step computes.
type deviceMemory[T kernel.Float] struct {
	device   *cuda.Device
	trainee  *trainee[T]
	options  Options
	networks []*deviceNetwork[T]

	counting bool
	missing  []string // layers without a form, found while counting
	most     int      // elements of scratch that any layer wants
	scratch  cuda.Buffer[T]
	arena    cuda.Buffer[T]        // for the plan of a network: they take turns
	mirrors  map[*T]cuda.Buffer[T] // what is on the host too, by its first element
	feed     deviceFeed[T]
	update   *deviceUpdate[T]
	frees    []func(t *cuda.Thread) error // of what was made, in that order
}

// deviceFeed is how samples and labels get to the device and losses from it. They are
// copied while the backward pass of the step before goes on.
type deviceFeed[T kernel.Float] struct {
	x       cuda.Host[T] // samples as the host has them
	labels  cuda.Host[int32]
	copied  cuda.Buffer[T] // x
	classes cuda.Buffer[int32]
	copies  *cuda.Stream
	arrived *cuda.Event

	loss  cuda.Loss
	sums  cuda.Buffer[float64] // of the losses, and of the hits
	known cuda.Host[float64]   // the same on the host
}

func newDeviceMemory[T kernel.Float](t *trainee[T], o Options) *deviceMemory[T] {
	return &deviceMemory[T]{device: o.Device, trainee: t, options: o}
}

// check returns a *DeviceError where a layer has no form on the device, and a
// *cuda.MemoryError where the networks that were made take more than is free. It allocates
// nothing.
func (d *deviceMemory[T]) check(ctx context.Context) error {
	return d.device.Do(ctx, func(t *cuda.Thread) error {
		need, err := d.need(t)
		if err != nil {
			return err
		}
		return t.Fits(need)
	})
}

// open allocates what the networks take, after check, and readies them.
func (d *deviceMemory[T]) open(ctx context.Context) error {
	return d.device.Do(ctx, func(t *cuda.Thread) error {
		err := d.build(t)
		if err != nil {
			err = errors.Join(err, d.free(t))
		}
		return err
	})
}

// need returns how many bytes of the device build takes.
func (d *deviceMemory[T]) need(t *cuda.Thread) (int64, error) {
	d.counting, d.most, d.missing = true, 0, nil
	bytes, err := t.Count(func() error { return d.build(t) })
	d.counting = false
	if err == nil && len(d.missing) > 0 {
		err = &DeviceError{d.missing}
	}
	return bytes + int64(d.most*dtypeSize[T]()) + cuda.BLASBytes, err
}

func (d *deviceMemory[T]) build(t *cuda.Thread) (err error) {
	d.mirrors = map[*T]cuda.Buffer[T]{}
	most := 0
	for _, n := range d.networks {
		most = max(most, n.elements())
	}
	if d.arena, err = allocated[T](d, t, most); err != nil {
		return err
	}
	if !d.counting { // else how much is not known before all forms are made
		if d.scratch, err = allocated[T](d, t, d.most); err != nil {
			return err
		}
	}
	if err := d.makeFeed(t); err != nil {
		return err
	}
	if d.update, err = newDeviceUpdate(d, t); err != nil {
		return err
	}
	for _, n := range d.networks {
		if err := n.compile(t); err != nil {
			return err
		}
	}
	return nil
}

// makeFeed makes room for the samples of the largest network, and for logits.
func (d *deviceMemory[T]) makeFeed(t *cuda.Thread) (err error) {
	elements, samples := 0, 0
	for _, n := range d.networks {
		elements, samples = max(elements, n.samples.size, n.logits.size), max(samples, n.net.batch)
	}
	f := &d.feed
	var errs [10]error
	f.copied, errs[0] = allocated[T](d, t, elements)
	f.classes, errs[1] = allocated[int32](d, t, samples)
	f.loss.Losses, errs[2] = allocated[float64](d, t, samples)
	f.loss.Hits, errs[3] = allocated[float64](d, t, samples)
	f.sums, errs[4] = allocated[float64](d, t, 2)
	f.x, errs[5] = pinned[T](d, t, elements)
	f.labels, errs[6] = pinned[int32](d, t, samples)
	f.known, errs[7] = pinned[float64](d, t, 2)
	if d.counting {
		return errors.Join(errs[:]...)
	}
	if f.copies, errs[8] = t.NewStream(); errs[8] == nil {
		copies := f.copies
		d.frees = append(d.frees, func(*cuda.Thread) error { return copies.Free() })
	}
	if f.arrived, errs[9] = t.NewEvent(); errs[9] == nil {
		arrived := f.arrived
		d.frees = append(d.frees, func(*cuda.Thread) error { return arrived.Free() })
	}
	return errors.Join(errs[:]...)
}

// mirror returns what the device has of values, which it has once: parameters, the
// optimiser's state, running statistics, constants.
func (d *deviceMemory[T]) mirror(t *cuda.Thread, values []T) (cuda.Buffer[T], error) {
	first := unsafe.SliceData(values)
	if b, ok := d.mirrors[first]; ok || len(values) == 0 {
		return b, nil
	}
	b, err := allocated[T](d, t, len(values))
	if err != nil {
		return b, err
	}
	d.mirrors[first] = b
	return b, cuda.Write(t.Stream(), b, values)
}

// allocated allocates n elements until the memory is given back.
func allocated[E cuda.Element, T kernel.Float](d *deviceMemory[T], t *cuda.Thread, n int) (cuda.Buffer[E], error) {
	b, err := cuda.Alloc[E](t, n)
	if err == nil && !d.counting {
		d.frees = append(d.frees, b.Free)
	}
	return b, err
}

// pinned does the same on the host.
func pinned[E cuda.Element, T kernel.Float](d *deviceMemory[T], t *cuda.Thread, n int) (cuda.Host[E], error) {
	h, err := cuda.AllocHost[E](t, n)
	if err == nil && !d.counting {
		d.frees = append(d.frees, h.Free)
	}
	return h, err
}

// do runs f on the device's thread.
func (d *deviceMemory[T]) do(f func(t *cuda.Thread) error) error {
	return d.device.Do(context.Background(), f)
}

// read brings what training changes to the host, with the optimiser's state or without.
func (d *deviceMemory[T]) read(states bool) error {
	if d == nil {
		return nil
	}
	return d.each(states, func(s *cuda.Stream, values []T, b cuda.Buffer[T]) error { return cuda.Read(s, values, b) })
}

// write brings all of it to the device.
func (d *deviceMemory[T]) write() error {
	if d == nil {
		return nil
	}
	return d.each(true, func(s *cuda.Stream, values []T, b cuda.Buffer[T]) error { return cuda.Write(s, b, values) })
}

// each calls move for what training changes and the device has.
func (d *deviceMemory[T]) each(states bool, move func(s *cuda.Stream, values []T, b cuda.Buffer[T]) error) error {
	of := 0
	if states {
		of = d.options.Optimizer.States()
	}
	return d.do(func(t *cuda.Thread) error {
		for _, a := range d.trainee.arrays(of) {
			if b, ok := d.mirrors[unsafe.SliceData(a.values)]; ok {
				if err := move(t.Stream(), a.values, b); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// close gives everything back.
func (d *deviceMemory[T]) close() error {
	if d == nil {
		return nil
	}
	return d.do(d.free)
}

func (d *deviceMemory[T]) free(t *cuda.Thread) error {
	errs := []error{t.Stream().Wait()}
	for _, f := range d.frees {
		errs = append(errs, f(t))
	}
	d.frees, d.mirrors = nil, nil
	return errors.Join(errs...)
}

// elements is what the plan of a network takes.
func (n *deviceNetwork[T]) elements() int {
	total := 0
	for _, size := range n.plan.Buffers {
		total += aligned(size)
	}
	return total
}

// aligned rounds up, so that what follows begins where memplan wants values to begin.
func aligned(n int) int { return (n + memplan.Alignment - 1) / memplan.Alignment * memplan.Alignment }

// place puts the values of a network where its plan has them.
func (n *deviceNetwork[T]) place() map[*buffer[T]]cuda.Buffer[T] {
	starts, at := make([]int, len(n.plan.Buffers)), 0
	for i, size := range n.plan.Buffers {
		starts[i], at = at, at+aligned(size)
	}
	places := map[*buffer[T]]cuda.Buffer[T]{}
	for v, b := range n.program.buffers {
		if p := n.plan.Places[v]; p.Buffer >= 0 {
			from := starts[p.Buffer] + p.Offset
			places[b] = n.memory.arena.Part(from, from+b.size)
		}
	}
	return places
}
