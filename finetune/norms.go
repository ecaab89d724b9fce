package finetune

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

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
	supports map[string]support // of dense layers, by weight
	squares  Norms              // of the norms, and of what this rank has
}

func (t *trainee[T]) newGradientNorms() *gradientNorms[T] {
	return &gradientNorms[T]{t.supports, Norms{map[string]float64{}, map[string]float64{}, map[string]float64{}}}
}

// norms returns what was measured in a step.
func (t *trainee[T]) norms(m *gradientNorms[T]) (*Norms, error) {
	all := []map[string]float64{m.squares.Trained, m.squares.Inside, m.squares.Outside}
	for _, squares := range all {
		if err := t.sumParts(squares); err != nil {
			return nil, err
		}
		for name, v := range squares {
			squares[name] = math.Sqrt(v)
		}
	}
	return &m.squares, nil
}

// sumParts adds up over the ranks what each has of the parameters that are cut, by name.
func (t *trainee[T]) sumParts(of map[string]float64) error {
	var names []string
	var parts []float64
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if t.isCut(name) {
			names, parts = append(names, name), append(parts, of[name])
		}
	}
	if err := t.ranks.sum(parts); err != nil {
		return err
	}
	for i, name := range names {
		of[name] = parts[i]
	}
	return nil
}

// whole measures a gradient before anything of it is left out.
func (m *gradientNorms[T]) whole(p *parameter[T], gradient []T) {
	if m == nil {
		return
	}
	if s := m.supports[p.name]; s.Map != nil {
		m.squares.Inside[p.name], m.squares.Outside[p.name] = sumSquares(s, 0, gradient)
	}
}

// trained measures what is left of a gradient.
func (m *gradientNorms[T]) trained(p *parameter[T], gradient []T) {
	if m != nil {
		m.squares.Trained[p.name] = kernel.SumSquares(gradient)
	}
}

// fused measures the gradient of a parameter that the layer updates itself: it
// is made again, a part at a time, to be looked at.
func (m *gradientNorms[T]) fused(p *parameter[T], l fusible[T], at pass[T], input int) {
	l.gradient(at, input, m.parts(p))
}

// parts returns what measures a gradient a part at a time.
func (m *gradientNorms[T]) parts(p *parameter[T]) (add func(at int, part []T)) {
	if m == nil {
		return func(int, []T) {}
	}
	s := m.supports[p.name]
	return func(at int, part []T) {
		m.squares.Trained[p.name] += kernel.SumSquares(part)
		if s.Map != nil {
			in, out := sumSquares(s, at/s.Cols(), part)
			m.squares.Inside[p.name] += in
			m.squares.Outside[p.name] += out
		}
	}
}

// support is that of a dense layer.
type support struct {
	*affine.Map
	row int // the first that this rank has
}

// sumSquares sums the squares of rows of a matrix, from row first of this rank on, inside
// and outside the support. Every row has a sum of its own, so that the result does
// not depend on who adds when.
func sumSquares[T kernel.Float](s support, first int, rows []T) (inside, outside float64) {
	k, cols := &mask{support: s.Map}, s.Cols()
	first += s.row
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
	far, err := t.squaredDistances()
	if err := agree(context.Background(), t.gather.job(), err); err != nil {
		return nil, err
	}
	if err := t.sumParts(far); err != nil {
		return nil, err
	}
	for name, squares := range far {
		far[name] = math.Sqrt(squares)
	}
	return far, nil
}

// squaredDistances returns the squares of what this rank has of them.
func (t *trainee[T]) squaredDistances() (map[string]float64, error) {
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
		far[p.name] = d.sum
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
