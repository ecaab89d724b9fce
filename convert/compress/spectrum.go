package compress

import (
	"context"
	"fmt"

	"efcn/convert/record"
	"efcn/onnxio"
)

// Spectrum has the singular values of the part of a layer's matrix outside the support.
type Spectrum struct {
	Node   string        `json:"node"`
	Op     string        `json:"op"`
	Layout record.Layout `json:"layout"`
	// NotMeasured is why there are none, "" if there are.
	NotMeasured string  `json:"not_measured,omitempty"`
	Rows        int     `json:"rows"`
	Cols        int     `json:"cols"`
	OffLocal    float64 `json:"off_local_norm"` // ‖W_off‖
	// Values are the largest, descending.
	Values []float64 `json:"singular_values"`
	// Energy has the share of ‖W_off‖² of the first Shares of them, as far as there are
	// so many values.
	Energy []float64 `json:"energy"`
}

// Shares are the numbers of singular values whose share of the energy is in
// [Spectrum.Energy].
func Shares() []int { return []int{1, 4, 8, 16, 32, 64} }

// Spectra returns the n largest singular values of what every layer of an eFCN has
// outside the support, in any layout, or as many as its matrix has; W_off of a factored
// layer is not formed. Where the spectrum falls slowly they are a little low, most of all
// for a small n: they are iterated until none rises by more than 10⁻⁶ of the largest in a
// round, 30 rounds at most. Held is the layer's search, as [Compress] has it, for 1.5·n
// triples, n + 16 at least.
func Spectra(ctx context.Context, efcn *onnxio.Model, n int) ([]Spectrum, error) {
	if n < 1 {
		return nil, fmt.Errorf("%d singular values; want at least 1", n)
	}
	all, err := record.OpenAll(efcn)
	if err != nil {
		return nil, err
	}
	measured, err := record.Measure(ctx, efcn, nil)
	if err != nil {
		return nil, err
	}
	spectra := make([]Spectrum, len(all))
	for i, a := range all {
		m := measured.Layers[i]
		s := &spectra[i]
		*s = Spectrum{
			Node: a.Layer.Node, Op: a.Layer.Op, Layout: a.Layer.Layout, NotMeasured: m.NotMeasured, Rows: a.Rows,
			Cols: a.Cols, OffLocal: m.OffLocal * m.Norm, Values: []float64{}, Energy: []float64{},
		}
		if s.NotMeasured != "" {
			continue
		}
		if s.Values, err = singularValues(ctx, a, n, s.OffLocal); err != nil {
			return nil, err
		}
		for _, n := range Shares() {
			if n <= len(s.Values) {
				s.Energy = append(s.Energy, s.Share(n))
			}
		}
	}
	return spectra, nil
}

// singularValues returns those of what a layer has outside the support.
func singularValues(ctx context.Context, a *record.Matrix, n int, norm float64) ([]float64, error) {
	if norm == 0 {
		return make([]float64, min(n, a.Rows, a.Cols)), nil
	}
	support, err := a.Layer.Support()
	if err != nil {
		return nil, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
	}
	l, err := newLayer(a, support)
	if err != nil {
		return nil, err
	}
	svd, err := l.search(ctx, n, max(16, n/2), 30, 1e-6, 0)
	if err != nil {
		return nil, err
	}
	return svd.S, nil
}

// Share is the share of ‖W_off‖² that the first n values have; 0 where nothing is outside
// the support.
func (s *Spectrum) Share(n int) float64 {
	if s.OffLocal == 0 {
		return 0
	}
	return min(1, sumOfSquares(s.Values[:n])/(s.OffLocal*s.OffLocal))
}
