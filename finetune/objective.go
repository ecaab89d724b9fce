package finetune

import (
	"context"
	"errors"
	"fmt"

	"efcn/finetune/data"
	"efcn/internal/cuda"
	"efcn/onnxio"
)

// Objective is the training loss of a model as a function of all its trained
// weights, for those who move the weights in their own way. It is not for two
// calls at once.
type Objective struct {
	trainee *trainee[float32]
	network *network[float32]
	feed    *feeder
	// gradient is what is read of a device, list by list; nil on the processor.
	gradient [][]float32
}

// NewObjective prepares the loss of m on samples of set, batch at a time, on a GPU or, where d
// is nil, on the processor. What [Train] refuses is refused. It is to be closed.
func NewObjective(
	ctx context.Context, d *cuda.Device, m *onnxio.Model, set *data.Set, batch int,
) (*Objective, error) {
	if batch < 1 || batch > set.N() {
		return nil, fmt.Errorf("batch: %d; want a number from 1 to %d, the samples that there are", batch, set.N())
	}
	t, err := newTrainee[float32](m, TrainAll)
	if err != nil {
		return nil, err
	}
	feed, err := newFeeder(set, t.sampleShape())
	if err != nil {
		return nil, err
	}
	if d != nil {
		t.device = newDeviceMemory(t, Options{Device: d}.WithDefaults())
	}
	n, err := t.network(batch, true)
	if err != nil {
		return nil, err
	}
	if n.classes < set.Classes {
		return nil, fmt.Errorf("%d classes, the model tells %d apart", set.Classes, n.classes)
	}
	o := &Objective{trainee: t, network: n, feed: feed}
	if d == nil {
		return o, nil
	}
	for _, g := range n.reads {
		o.gradient = append(o.gradient, make([]float32, len(g.p.values)))
	}
	if err := t.device.check(ctx); err != nil {
		return nil, err
	}
	return o, t.device.open(ctx)
}

// Close gives back what the objective has on a GPU.
func (o *Objective) Close() error { return o.trainee.device.close() }

// Names lists the initializers that are trained, in the order of Weights.
func (o *Objective) Names() []string {
	names := make([]string, len(o.network.reads))
	for i, g := range o.network.reads {
		names[i] = g.p.name
	}
	return names
}

// Weights are the weights that the loss is taken at, list by list. They are the
// objective's own storage: writing into them moves the point.
func (o *Objective) Weights() [][]float32 {
	weights := make([][]float32, len(o.network.reads))
	for i, g := range o.network.reads {
		weights[i] = g.p.values
	}
	return weights
}

// Gradient returns the mean loss of the samples, as many as the batch, at
// Weights, and its gradient there, list by list. The gradient is valid until
// the next call. A loss that is not finite is an error.
//
// A BatchNormalization normalises by the batch, and its running statistics move.
func (o *Objective) Gradient(samples []int) (loss float64, gradient [][]float32, err error) {
	n := o.network
	if len(samples) != n.batch {
		return 0, nil, fmt.Errorf("%d samples; want %d, the batch", len(samples), n.batch)
	}
	for i, index := range samples {
		n.labels[i] = o.feed.set.Labels[index]
	}
	if err := o.feed.batch(samples, n.x); err != nil {
		return 0, nil, err
	}
	if n.device != nil {
		err := n.device.gradient(o.gradient)
		return n.loss, o.gradient, err
	}
	if err := n.run(); err != nil {
		return 0, nil, err
	}
	if n.loss-n.loss != 0 {
		return 0, nil, errors.New("the loss is not finite")
	}
	gradient = make([][]float32, len(n.reads))
	for i, g := range n.reads {
		gradient[i] = elements[float32](g.node.Value())
	}
	return n.loss, gradient, nil
}
