package landscape

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/onnxio"
)

// StringOptions say how a path of mode String is found. The zero value stands
// for [DefaultString].
//
// The path is a chain of images W₀ = A, …, Wₙ = B, which start at equal distances
// on the line from A to B. For every batch of training samples each image in
// between moves by
//
//	W ← W − rate·(∇L − (∇L·τ)·τ − stiffness·(‖W₊ − W‖ − ‖W − W₋‖)·τ)
//
// where W₋ and W₊ are its neighbours and τ is the unit vector along W₊ − W₋: down
// the loss across the path, and along it towards equal distances (the nudged
// elastic band of Henkelman and Jónsson, J. Chem. Phys. 113, 2000). After every
// epoch the images are put at equal distances along the chain (the string
// method of E, Ren and Vanden-Eijnden, Phys. Rev. B 66, 2002).
type StringOptions struct {
	Images    int     // of the chain, both ends among them
	Stiffness float64 // of the springs between neighbours
	Epochs    int     // passes over the training samples
	Batch     int     // samples of a step; what is left of an epoch is not used
	Rate      float64 // learning rate
	Seed      uint64  // of the order of the samples
}

// DefaultString returns the options that the zero value stands for: 5 images
// and stiffness 1, as in arXiv 1906.06766, 10 epochs, batches of 250, rate 0.1.
func DefaultString() StringOptions {
	return StringOptions{Images: 5, Stiffness: 1, Epochs: 10, Batch: 250, Rate: 0.1}
}

func (o StringOptions) validate() error {
	if o == (StringOptions{}) {
		return nil
	}
	var errs []error
	if o.Images < 3 {
		errs = append(errs, fmt.Errorf("images: %d; want 3 at least, two ends and one between", o.Images))
	}
	if o.Epochs < 1 {
		errs = append(errs, fmt.Errorf("epochs: %d; want a number from 1", o.Epochs))
	}
	if o.Batch < 1 {
		errs = append(errs, fmt.Errorf("batch: %d; want a number from 1", o.Batch))
	}
	for _, v := range []struct {
		name  string
		value float64
	}{{"stiffness", o.Stiffness}, {"rate", o.Rate}} {
		if !(v.value >= 0) || math.IsInf(v.value, 0) {
			errs = append(errs, fmt.Errorf("%s: %g; want a number from 0", v.name, v.value))
		}
	}
	return errors.Join(errs...)
}

// chain is a path of straight pieces between images.
type chain struct {
	pair   *pair
	names  []string // of the weights that move, in the order of an image's lists
	images []image
}

// image is a point in the space of the trained weights, list by list.
type image [][]float32

// findString trains the chain.
func (p *pair) findString(ctx context.Context, set *data.Set, o Options) (c *chain, err error) {
	s := o.String
	if s == (StringOptions{}) {
		s = DefaultString()
	}
	s.Batch = min(s.Batch, set.N())
	loss, err := finetune.NewObjective(ctx, o.Device, p.a, set, s.Batch)
	if err != nil {
		return nil, fmt.Errorf("string: %w", err)
	}
	defer func() { err = errors.Join(err, loss.Close()) }()
	c = &chain{pair: p, names: loss.Names()}
	first, last := image(loss.Weights()).clone(), make(image, len(c.names))
	for i, name := range c.names {
		t := constant(p.b.Graph, name)
		if t == nil || t.Type != onnxio.Float32 {
			return nil, fmt.Errorf("string: weights %q are not a float32 initializer of the model", name)
		}
		if last[i], err = onnxio.Floats[float32](t); err != nil {
			return nil, err
		}
	}
	for i := range s.Images {
		c.images = append(c.images, mixed(first, last, float64(i)/float64(s.Images-1)))
	}
	order := make([]int, set.N())
	for epoch := range s.Epochs {
		for i := range order {
			order[i] = i
		}
		rng := rand.New(rand.NewPCG(s.Seed, uint64(epoch)))
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		o.progress("finding the string", epoch, s.Epochs)
		for at := 0; at+s.Batch <= len(order); at += s.Batch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			for i := 1; i < len(c.images)-1; i++ {
				for k, w := range loss.Weights() {
					copy(w, c.images[i][k])
				}
				_, gradient, err := loss.Gradient(order[at : at+s.Batch])
				if err != nil {
					return nil, fmt.Errorf("string: epoch %d, image %d: %w; a smaller rate may work", epoch+1, i, err)
				}
				c.nudge(i, gradient, s)
			}
		}
		c.spread()
	}
	return c, nil
}

// nudge moves image i.
func (c *chain) nudge(i int, gradient image, s StringOptions) {
	before, here, after := c.images[i-1], c.images[i], c.images[i+1]
	var along, span float64 // ∇L·(W₊ − W₋), ‖W₊ − W₋‖²
	for k, g := range gradient {
		for j, v := range g {
			d := float64(after[k][j]) - float64(before[k][j])
			along += float64(v) * d
			span += d * d
		}
	}
	onward := 0.0 // what the step along the path is, per unit of W₊ − W₋
	if span > 0 {
		stretch := math.Sqrt(here.squared(after)) - math.Sqrt(before.squared(here))
		onward = along/span + s.Stiffness*stretch/math.Sqrt(span)
	}
	for k, g := range gradient {
		w := here[k]
		for j, v := range g {
			d := float64(after[k][j]) - float64(before[k][j])
			w[j] -= float32(s.Rate * (float64(v) - float64(onward*d))) // not fused: the same on every machine
		}
	}
}

// spread puts the images at equal distances along the chain.
func (c *chain) spread() {
	n := len(c.images)
	moved := make([]image, n)
	moved[0], moved[n-1] = c.images[0], c.images[n-1]
	for i := 1; i < n-1; i++ {
		moved[i] = c.place(float64(i) / float64(n-1))
	}
	c.images = moved
}

// place returns the point at t of the chain's length.
func (c *chain) place(t float64) image {
	steps := c.steps()
	total := 0.0
	for _, s := range steps {
		total += s
	}
	left := t * total
	for i, s := range steps {
		if last := i == len(steps)-1; left <= s || last {
			share := 0.0
			if s > 0 {
				share = min(1, left/s)
			}
			if last && t == 1 {
				share = 1
			}
			return mixed(c.images[i], c.images[i+1], share)
		}
		left -= s
	}
	return c.images[len(c.images)-1]
}

// steps are the distances between neighbours.
func (c *chain) steps() []float64 {
	steps := make([]float64, len(c.images)-1)
	for i := range steps {
		steps[i] = math.Sqrt(c.images[i].squared(c.images[i+1]))
	}
	return steps
}

func (c *chain) length() float64 {
	total := 0.0
	for _, s := range c.steps() {
		total += s
	}
	return total
}

// at is the model at t of the chain's length. What is not trained goes linearly.
func (c *chain) at(t float64) (*onnxio.Model, error) {
	m := c.pair.between(t, false)
	lists := c.place(t)
	for i, name := range c.names {
		setConstant(m.Graph, name, lists[i])
	}
	return m, nil
}

func (m image) clone() image {
	c := make(image, len(m))
	for i, list := range m {
		c[i] = append([]float32(nil), list...)
	}
	return c
}

// mixed returns (1−t)·a + t·b.
func mixed(a, b image, t float64) image {
	m := make(image, len(a))
	for i := range m {
		m[i] = make([]float32, len(a[i]))
		mix(m[i], a[i], b[i], t)
	}
	return m
}

// squared is ‖m − other‖².
func (m image) squared(other image) float64 {
	var squares float64
	for i, list := range m {
		squares += squaredDistance(list, other[i])
	}
	return squares
}
