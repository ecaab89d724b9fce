package finetune

import (
	"context"
	"errors"
	"fmt"

	"efcn/finetune/data"
	"efcn/internal/engine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Metrics measures a model on N samples.
type Metrics struct {
	N    int
	Loss float64 // softmax cross-entropy, mean over the samples
	Top1 float64 // share of samples whose label has the greatest logit
	Top5 float64 // share of samples whose label is among the five greatest
}

// Evaluate runs the model in float32 on every sample of set, so many at a time
// (0 means 250; a model with a fixed batch takes its own). Where logits are
// equal the lower class counts as the greater.
func Evaluate(ctx context.Context, m *onnxio.Model, set *data.Set, batch int) (Metrics, error) {
	if batch < 0 {
		return Metrics{}, fmt.Errorf("batch: %d is negative", batch)
	}
	if batch == 0 {
		batch = 250
	}
	input, err := onlyInput(m)
	if err != nil {
		return Metrics{}, err
	}
	if d := input.Type.Shape[0]; d.Known() {
		batch = int(d.Value)
	}
	feed, err := newFeeder(set, sampleShape(input))
	if err != nil {
		return Metrics{}, err
	}
	if set.N() == 0 || batch == 0 {
		return Metrics{}, errors.New("no samples to evaluate")
	}
	if m, err = endAtLogits(m); err != nil {
		return Metrics{}, err
	}
	e, err := engine.New[float32](m)
	if err != nil {
		return Metrics{}, err
	}
	output := m.Graph.Outputs[0].Name
	sum := Metrics{N: set.N()}
	x := make([]float32, batch*product(sampleShape(input)))
	labels := make([]int, batch)
	for at := 0; at < set.N(); at += batch {
		count := min(batch, set.N()-at)
		rows := count
		if input.Type.Shape[0].Known() {
			rows = batch // the last batch is filled up with what was there before
		}
		indices := make([]int, count)
		for i := range indices {
			indices[i] = at + i
			labels[i] = set.Labels[at+i]
		}
		feed.batch(indices, x)
		shape := append([]int{rows}, sampleShape(input)...)
		got, err := e.Run(ctx, map[string]*engine.Tensor[float32]{
			input.Name: {Type: input.Type.Elem, Shape: shape, F: x[:rows*product(shape[1:])]},
		})
		if err != nil {
			return Metrics{}, err
		}
		if err := sum.add(got[output], rows, labels[:count], set.Classes); err != nil {
			return Metrics{}, fmt.Errorf("output %q: %w", output, err)
		}
	}
	sum.Loss /= float64(sum.N)
	sum.Top1 /= float64(sum.N)
	sum.Top5 /= float64(sum.N)
	return sum, nil
}

// add counts a batch in: sums, not means.
func (m *Metrics) add(logits *engine.Tensor[float32], rows int, labels []int, classes int) error {
	if len(logits.F) == 0 || len(logits.Shape) < 2 || logits.Shape[0] != rows {
		return fmt.Errorf("want a row of logits for each of %d samples, got shape %v", rows, logits.Shape)
	}
	width := len(logits.F) / rows
	if width < classes {
		return fmt.Errorf("the data has %d classes, the model tells %d apart", classes, width)
	}
	loss, _ := kernel.CrossEntropy(len(labels), width, logits.F, labels, nil)
	m.Loss += loss
	for i, label := range labels {
		row := logits.F[i*width : (i+1)*width]
		rank := 0
		for j, v := range row {
			if v > row[label] || (v == row[label] && j < label) || row[label] != row[label] {
				rank++
			}
		}
		if rank < 1 {
			m.Top1++
		}
		if rank < 5 {
			m.Top5++
		}
	}
	return nil
}

// endAtLogits returns m, or a copy that stops before its final Softmax.
func endAtLogits(m *onnxio.Model) (*onnxio.Model, error) {
	name, err := logitsOf(m)
	if err != nil || name == m.Graph.Outputs[0].Name {
		return m, err
	}
	c := m.Clone()
	c.Graph.Outputs = []*onnxio.ValueInfo{{Name: name}}
	c.Graph.Nodes = ancestors(c.Graph, name)
	return c, nil
}
