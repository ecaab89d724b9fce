package finetune

import (
	"encoding/binary"
	"fmt"
	"math"

	"efcn/convert/affine"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// Norms are those of the gradients of one step, before clipping, by initializer.
type Norms struct {
	// Trained is that of what is trained of each.
	Trained map[string]float64 `json:"trained,omitempty"`
	// Inside and Outside are those of the loss's gradient inside and outside the
	// support of a dense layer, whichever part is trained.
	Inside  map[string]float64 `json:"inside,omitempty"`
	Outside map[string]float64 `json:"outside,omitempty"`
}

// gradientNorms measures the gradients of a step as they come up.
type gradientNorms[T kernel.Float] struct {
	supports map[string]*affine.Map // of dense layers, by weight
	norms    Norms
}

func (t *trainee[T]) newGradientNorms() *gradientNorms[T] {
	return &gradientNorms[T]{t.supports, Norms{map[string]float64{}, map[string]float64{}, map[string]float64{}}}
}

// whole measures a gradient before anything of it is left out.
func (m *gradientNorms[T]) whole(p *parameter[T], gradient []T) {
	if m == nil {
		return
	}
	if support := m.supports[p.name]; support != nil {
		inside, outside := sumSquares(support, 0, gradient)
		m.norms.Inside[p.name], m.norms.Outside[p.name] = math.Sqrt(inside), math.Sqrt(outside)
	}
}

// trained measures what is left of a gradient.
func (m *gradientNorms[T]) trained(p *parameter[T], gradient []T) {
	if m != nil {
		m.norms.Trained[p.name] = math.Sqrt(kernel.SumSquares(gradient))
	}
}

// fused measures the gradient of a parameter that the layer updates itself: it
// is made again, a part at a time, to be looked at.
func (m *gradientNorms[T]) fused(p *parameter[T], l fusible[T], at pass[T], input int) {
	var inside, outside, all float64
	support := m.supports[p.name]
	l.gradient(at, input, func(first int, part []T) {
		all += kernel.SumSquares(part)
		if support != nil {
			in, out := sumSquares(support, first/support.Cols(), part)
			inside, outside = inside+in, outside+out
		}
	})
	m.norms.Trained[p.name] = math.Sqrt(all)
	if support != nil {
		m.norms.Inside[p.name], m.norms.Outside[p.name] = math.Sqrt(inside), math.Sqrt(outside)
	}
}

// sumSquares sums the squares of rows of a matrix, from row first on, inside and
// outside the support. Every row has a sum of its own, so that the result does
// not depend on who adds when.
func sumSquares[T kernel.Float](support *affine.Map, first int, rows []T) (inside, outside float64) {
	k, cols := &mask{support: support}, support.Cols()
	n := len(rows) / max(1, cols)
	sums := make([][2]float64, n)
	kernel.Parallel(n, 1+elementGrain/max(1, cols), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			for part, in := range []bool{true, false} {
				k.rows(first+r, first+r+1, in, func(lo, hi int) {
					for _, v := range rows[lo-first*cols : hi-first*cols] {
						sums[r][part] += float64(v) * float64(v)
					}
				})
			}
		}
	})
	for _, s := range sums {
		inside, outside = inside+s[0], outside+s[1]
	}
	return inside, outside
}

// distances returns how far each trained initializer is from where it began.
func (t *trainee[T]) distances() (map[string]float64, error) {
	far := map[string]float64{}
	for _, p := range t.params {
		if p.frozen {
			continue
		}
		d := &distance[T]{values: p.values, double: t.initializers[p.name].Type == onnxio.Float64}
		if _, err := t.initializers[p.name].Data.WriteTo(d); err != nil {
			return nil, err
		}
		if d.at != len(p.values) || len(d.part) > 0 {
			return nil, fmt.Errorf("weights %q: %d elements where training began, %d now", p.name, d.at, len(p.values))
		}
		far[p.name] = math.Sqrt(d.sum)
	}
	return far, nil
}

// distance sums the squared differences of values from those written to it.
type distance[T kernel.Float] struct {
	values []T
	double bool // float64 is written, else float32
	part   []byte
	at     int
	sum    float64
}

func (d *distance[T]) Write(b []byte) (int, error) {
	n, size := len(b), 4
	if d.double {
		size = 8
	}
	if len(d.part) > 0 {
		k := min(size-len(d.part), len(b))
		d.part, b = append(d.part, b[:k]...), b[k:]
		if len(d.part) == size {
			d.add(d.part)
			d.part = d.part[:0]
		}
	}
	for ; len(b) >= size; b = b[size:] {
		d.add(b[:size])
	}
	d.part = append(d.part, b...)
	return n, nil
}

func (d *distance[T]) add(b []byte) {
	var v float64
	if d.double {
		v = math.Float64frombits(binary.LittleEndian.Uint64(b))
	} else {
		v = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	if d.at < len(d.values) {
		v -= float64(d.values[d.at])
		d.sum += v * v
	}
	d.at++
}
