package record

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"efcn/convert/affine"
	"efcn/onnxio"
)

// ErrMissing says that a model is no eFCN of this program's.
var ErrMissing = errors.New("not an eFCN: no record in its metadata; convert writes one")

// Deviation says how far an eFCN is from the CNN subspace: from the networks
// that are embeddings of CNNs of its architecture. The sums run over the layers
// that are measured; all is computed in float64.
type Deviation struct {
	// Distance is d = ‖W − P(W)‖₂/‖W‖₂, where P puts zeros outside the support
	// and, in place of tied entries, their mean.
	Distance float64 `json:"distance"`
	// OffLocal is s = ‖W_off‖₂/‖W‖₂, the share of the entries outside the support.
	OffLocal float64 `json:"off_local"`
	// Bias is what Distance is, of the biases: those of a channel are tied.
	Bias float64 `json:"bias_distance"`
	// FromCNN is ‖W − A‖₂/‖A‖₂, the distance from the embedding A of the CNN
	// given, if one was.
	FromCNN *float64 `json:"from_cnn,omitempty"`
	Counts
	Layers []LayerDeviation `json:"layers"`
}

// Counts says how many entries matrices have.
type Counts struct {
	Entries int64 `json:"entries"` // all
	Support int64 `json:"support"` // those in the support
	// NonZero and NonZeroLocal are how many of them, and of those in the
	// support, are not zero. Of U·V in a factored layer, outside the support, those
	// count that may be other than zero: their row of U and column of V are.
	NonZero      int64 `json:"nonzero"`
	NonZeroLocal int64 `json:"nonzero_local"`
}

func (c *Counts) add(d Counts) {
	c.Entries, c.Support = c.Entries+d.Entries, c.Support+d.Support
	c.NonZero, c.NonZeroLocal = c.NonZero+d.NonZero, c.NonZeroLocal+d.NonZeroLocal
}

// LayerDeviation is the deviation of one layer; the fields mean what those of
// Deviation do. They are zero if the layer is not measured.
type LayerDeviation struct {
	Node   string `json:"node"`
	Op     string `json:"op"`
	Layout Layout `json:"layout"`
	Weight string `json:"weight"` // the initializer that holds the matrix
	// NotMeasured is why the layer has no deviation, "" if it has.
	NotMeasured string   `json:"not_measured,omitempty"`
	Norm        float64  `json:"norm"` // ‖W‖₂
	Distance    float64  `json:"distance"`
	OffLocal    float64  `json:"off_local"`
	Bias        float64  `json:"bias_distance"`
	FromCNN     *float64 `json:"from_cnn,omitempty"`
	Counts

	Squares Squares `json:"-"`
}

// Squares are the sums of squares that a deviation is made of. They add up over layers,
// and over output channels of a layer.
type Squares struct {
	All, Off, Tied  float64 // of W, of W outside the support, of W − mean inside it
	Bias, BiasTied  float64 // of b, of b − mean
	CNN, Difference float64 // of A, of W − A
}

func (s *Squares) add(t Squares) {
	s.All, s.Off, s.Tied = s.All+t.All, s.Off+t.Off, s.Tied+t.Tied
	s.Bias, s.BiasTied = s.Bias+t.Bias, s.BiasTied+t.BiasTied
	s.CNN, s.Difference = s.CNN+t.CNN, s.Difference+t.Difference
}

// ratio is the quotient of two norms given by their squares, 0 where the first is 0.
func ratio(part, whole float64) float64 {
	if part == 0 {
		return 0
	}
	return math.Sqrt(part / whole)
}

// Measure returns the deviation of every layer in the record of an eFCN, and of
// them all, in any layout. Distance, OffLocal and Bias are exactly zero right after
// embedding. A slot of the local layout that lies in padding is no entry of the matrix
// and is not counted.
//
// The matrix of a factored layer is what x is multiplied by, W = L + U·V, which is not
// formed: what it takes is rank times the entries of the support. Its ‖W_off‖ has an
// error of at most 10⁻¹²·‖U‖·‖V‖ besides that of float64, and is 0 where it is less.
//
// If origin is not nil, it has the maps that the layers have in the CNN that the
// eFCN was made from, by the name of the layer, and the distance from them is
// measured too. The weights are read as a stream: what is held is a row, three numbers
// for every weight of the CNN, and the factors of one layer twice.
func Measure(ctx context.Context, efcn *onnxio.Model, origin map[string]*affine.Map) (*Deviation, error) {
	return MeasureSome(ctx, efcn, origin, func(int) bool { return true })
}

// MeasureSome is Measure of those layers of the record for which wanted returns true. The
// others count nothing, and have the figures of a layer that is all zero.
func MeasureSome(ctx context.Context, efcn *onnxio.Model, origin map[string]*affine.Map, wanted func(layer int) bool,
) (*Deviation, error) {
	all, err := OpenAll(efcn)
	if err != nil {
		return nil, err
	}
	if origin != nil {
		if err := checkOrigin(origin, all); err != nil {
			return nil, err
		}
	}
	d, _, err := measure(ctx, all, origin, wanted)
	return d, err
}

// Combine returns the deviation of an eFCN from parts of it that were measured: each has
// all its layers, with what it counts of them. fromCNN says that an origin was given.
func Combine(parts []*Deviation, fromCNN bool) *Deviation {
	d := &Deviation{Layers: slices.Clone(parts[0].Layers)}
	for _, p := range parts[1:] {
		for i := range d.Layers {
			d.Layers[i].Squares.add(p.Layers[i].Squares)
			d.Layers[i].add(p.Layers[i].Counts)
		}
	}
	d.sum(fromCNN)
	return d
}

// sum computes the figures of the layers, and of all of them.
func (d *Deviation) sum(fromCNN bool) {
	var sum Squares
	for i := range d.Layers {
		l := &d.Layers[i]
		if l.NotMeasured != "" {
			continue
		}
		l.Norm = math.Sqrt(l.Squares.All)
		l.Distance, l.OffLocal, l.Bias, l.FromCNN = l.Squares.ratios(fromCNN)
		sum.add(l.Squares)
		d.add(l.Counts)
	}
	d.Distance, d.OffLocal, d.Bias, d.FromCNN = sum.ratios(fromCNN)
}

// Nearest returns the maps of the nearest CNN's layers, nil where a layer has no
// CNN subspace, and how far from it the layers are.
func Nearest(ctx context.Context, all []*Matrix) ([]*affine.Map, *Deviation, error) {
	d, maps, err := measure(ctx, all, nil, func(int) bool { return true })
	return maps, d, err
}

// measure returns the deviation of the layers that are wanted and, for those that have
// one, their projection.
func measure(ctx context.Context, all []*Matrix, origin map[string]*affine.Map, wanted func(layer int) bool,
) (*Deviation, []*affine.Map, error) {
	d := &Deviation{Layers: make([]LayerDeviation, len(all))}
	projections := make([]*affine.Map, len(all))
	for i, a := range all {
		l := &d.Layers[i]
		*l = LayerDeviation{
			Node: a.Layer.Node, Op: a.Layer.Op, Layout: a.Layer.Layout, Weight: a.Layer.Weight,
			NotMeasured: a.free,
		}
		if a.support == nil || !wanted(i) {
			continue
		}
		t, err := a.ties(ctx)
		if err != nil {
			return nil, nil, err
		}
		t.merge(a.divisors)
		projections[i] = t.projection(a.support, a.divisors)
		l.Squares, l.Counts = t.squares(), t.counts
		l.Entries, l.Support = int64(a.Rows)*int64(a.Cols), a.support.NonZeros()
		l.Squares.Bias, l.Squares.BiasTied = a.biasSquares(projections[i])
		if m := origin[a.Layer.Node]; m != nil {
			l.Squares.CNN, l.Squares.Difference = t.from(m)
		}
		if s := l.Squares.All + l.Squares.Bias; math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, nil, fmt.Errorf("layer %q: its weights are not all finite", a.Layer.Node)
		}
	}
	d.sum(origin != nil)
	return d, projections, nil
}

func (s *Squares) ratios(cnn bool) (distance, off, bias float64, from *float64) {
	if cnn {
		r := ratio(s.Difference, s.CNN)
		from = &r
	}
	return ratio(s.Off+s.Tied, s.All), ratio(s.Off, s.All), ratio(s.BiasTied, s.Bias), from
}

// ties sums up the entries that share a coefficient, for every coefficient of a
// map: sums of differences from the first of them, so that entries that are all
// equal have exactly that mean and no deviation.
type ties struct {
	count     []int64
	first     []float64
	sum, sum2 []float64 // of w − first and of its square
	all, off  float64   // sums of squares: of all entries, of those outside the support
	counts    Counts    // of what is not zero
}

// ties reads the matrix.
func (a *Matrix) ties(ctx context.Context) (*ties, error) {
	m := a.support
	perGroup := m.InChannels / m.Groups
	size := perGroup * m.Taps.Coefs
	rows := m.KernelRows()
	if n := int64(rows) * int64(perGroup) * int64(m.Taps.Coefs); n > math.MaxInt32 {
		return nil, fmt.Errorf("layer %q: record: a kernel of %d weights", a.Layer.Node, n)
	}
	n := rows * size
	t := &ties{count: make([]int64, n), first: make([]float64, n), sum: make([]float64, n), sum2: make([]float64, n)}
	var factored *productSums
	if a.factors != nil {
		f, err := a.factors.load()
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", a.Layer.Node, err)
		}
		factored = newProductSums(f)
	}
	var taps []affine.Tap
	err := a.EachStored(ctx, func(r int, row []float32, stored []int32) error {
		taps = m.Taps.At(r%m.Taps.Out, taps)
		first, channels := m.Channels(r)
		var in, off float64
		for c := range channels {
			entries := row[(first+c)*m.Taps.In:][:m.Taps.In]
			at := m.KernelRow(r/m.Taps.Out)*size + c*m.Taps.Coefs
			for _, tap := range taps {
				w, i := float64(entries[tap.In]), at+int(tap.Coef)
				entries[tap.In] = 0
				if factored != nil {
					w = factored.plus(w, r, (first+c)*m.Taps.In+int(tap.In))
				}
				in += w * w
				t.take(i, w)
			}
		}
		// What is left in the row is outside the support.
		if stored == nil {
			for _, w := range row {
				off += t.outside(w)
			}
		} else {
			for _, col := range stored {
				off += t.outside(row[col])
			}
		}
		t.all, t.off = t.all+in+off, t.off+off
		return nil
	})
	if factored != nil && err == nil {
		off, nonZero := factored.outside()
		t.all, t.off, t.counts.NonZero = t.all+off, t.off+off, t.counts.NonZero+nonZero
	}
	return t, err
}

// take counts entry w of the support in, which has coefficient i.
func (t *ties) take(i int, w float64) {
	if w != 0 {
		t.counts.NonZero++
		t.counts.NonZeroLocal++
	}
	if t.count[i] == 0 {
		t.first[i] = w
	}
	t.count[i]++
	w -= t.first[i]
	t.sum[i] += w
	t.sum2[i] += w * w
}

// outside counts an entry outside the support in and returns its square.
func (t *ties) outside(w float32) float64 {
	if w != 0 {
		t.counts.NonZero++
	}
	return float64(w) * float64(w)
}

// merge ties the coefficients of a channel that have the same divisor: the
// sums of a later one are added to those of the first.
func (t *ties) merge(divisors []int) {
	for i := range t.count {
		j := sameDivisor(divisors, i)
		if i == j || t.count[i] == 0 {
			continue
		}
		if t.count[j] == 0 {
			t.first[j] = t.first[i]
		}
		n, shift := float64(t.count[i]), t.first[i]-t.first[j]
		t.sum2[j] += t.sum2[i] + 2*shift*t.sum[i] + n*shift*shift
		t.sum[j] += t.sum[i] + n*shift
		t.count[j] += t.count[i]
		t.count[i], t.sum[i], t.sum2[i] = 0, 0, 0
	}
}

// sameDivisor returns the first coefficient of the channel of coefficient i that
// is tied to it: i itself if there are no divisors.
func sameDivisor(divisors []int, i int) int {
	if divisors == nil {
		return i
	}
	k := i % len(divisors)
	return i - k + slices.Index(divisors, divisors[k])
}

// mean is the mean of the entries that have coefficient i, less the first.
func (t *ties) mean(i int) float64 {
	if t.count[i] == 0 {
		return 0
	}
	return t.sum[i] / float64(t.count[i])
}

// spread is the sum of the squares of the differences from the mean.
func (t *ties) spread(i int) float64 {
	return max(0, t.sum2[i]-t.sum[i]*t.mean(i))
}

func (t *ties) squares() Squares {
	s := Squares{All: t.all, Off: t.off}
	for i := range t.count {
		s.Tied += t.spread(i)
	}
	return s
}

// from returns the squares of the norms of the matrix A of m, and of its
// difference from the matrix that was read: what is off the support, the spread
// of tied entries around their mean, and the mean's distance from m's.
func (t *ties) from(m *affine.Map) (cnn, difference float64) {
	difference = t.off
	for i, k := range m.Kernel {
		n := float64(t.count[i])
		cnn += n * float64(k) * float64(k)
		if n > 0 {
			shift := t.first[i] - float64(k) + t.mean(i)
			difference += t.spread(i) + n*shift*shift
		}
	}
	return cnn, difference
}

// projection returns the map of the nearest CNN: every coefficient is the mean
// of the entries tied to it, rounded once. One that no entry has is zero.
func (t *ties) projection(support *affine.Map, divisors []int) *affine.Map {
	m := *support
	m.Kernel = make([]float32, len(t.count))
	for i := range m.Kernel {
		j := sameDivisor(divisors, i)
		m.Kernel[i] = float32(shifted(t.first[j], t.mean(j)))
	}
	return &m
}

// shifted returns first + by; where by is 0 that is first, also where it is −0.
func shifted(first, by float64) float64 {
	if by == 0 {
		return first
	}
	return first + by
}

// biasSquares puts the mean bias of every channel into the projection m, and
// returns the squares of the norms of the bias and of its distance from that
// mean.
func (a *Matrix) biasSquares(m *affine.Map) (all, tied float64) {
	if a.bias == nil {
		return 0, 0
	}
	m.Bias = make([]float32, m.OutChannels)
	for o := range m.Bias {
		own := a.bias[o*m.Taps.Out : (o+1)*m.Taps.Out]
		if len(own) == 0 {
			continue
		}
		first, sum := float64(own[0]), 0.0
		for _, b := range own {
			sum += float64(b) - first
		}
		mean := shifted(first, sum/float64(len(own)))
		for _, b := range own {
			all += float64(b) * float64(b)
			tied += (float64(b) - mean) * (float64(b) - mean)
		}
		m.Bias[o] = float32(mean)
	}
	return all, tied
}

// checkOrigin reports the first layer whose map in the CNN is not there, or has
// another geometry than the record says.
func checkOrigin(origin map[string]*affine.Map, all []*Matrix) error {
	for _, a := range all {
		if a.support == nil {
			continue
		}
		m := origin[a.Layer.Node]
		if m == nil {
			return fmt.Errorf("the CNN has no layer %q", a.Layer.Node)
		}
		if m.Groups != a.support.Groups || m.Rows() != a.Rows || m.Cols() != a.Cols ||
			m.KernelRows() != a.support.KernelRows() || !m.Taps.Equal(a.support.Taps) ||
			!slices.Equal(m.Shared, a.support.Shared) {
			return fmt.Errorf("layer %q of the CNN has another geometry", a.Layer.Node)
		}
	}
	return nil
}
