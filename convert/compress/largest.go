package compress

import (
	"context"
	"encoding/binary"
	"io"
	"math"

	"efcn/onnxio"
)

// selection says which entries of a layer outside the support stay: those whose
// magnitude, as the bits of a float32, is above a bound, and of those at the bound the
// first.
type selection struct {
	bound uint32
	ties  int64   // how many at the bound
	count int64   // all of them
	share float64 // of ‖W_off‖², that they have
	apart float64 // ‖W − W'‖², W' the matrix that the layer then has
}

// halfBits is half of the bits of a float32, and bins how many values they have.
const (
	halfBits = 16
	bins     = 1 << halfBits
)

// largest finds the largest n entries outside the support, or all that are not zero if
// those are fewer. The matrix is read twice, and only counts are held: by the upper half
// of the bits of every magnitude, then by the lower half of those at the bound.
func (l *layer) largest(ctx context.Context, n int64) (*selection, error) {
	var upper, lower [bins]int64
	if err := l.magnitudes(ctx, func(bits uint32) { upper[bits>>halfBits]++ }); err != nil {
		return nil, err
	}
	s := &selection{}
	bin := bins - 1
	for ; bin > 0 && s.count+upper[bin] < n; bin-- {
		s.count += upper[bin]
	}
	s.bound = uint32(bin+1)<<halfBits - 1 // what has more in its upper half stays
	var above, all float64
	square := func(bits uint32) float64 {
		v := float64(math.Float32frombits(bits))
		return v * v
	}
	err := l.magnitudes(ctx, func(bits uint32) {
		all += square(bits)
		switch upper := int(bits >> halfBits); {
		case upper > bin:
			above += square(bits)
		case upper == bin:
			lower[bits%bins]++
		}
	})
	if err != nil {
		return nil, err
	}
	for low := bins - 1; low >= 0 && s.count < n; low-- {
		if lower[low] > 0 {
			s.bound = uint32(bin)<<halfBits | uint32(low)
			s.ties = min(lower[low], n-s.count)
			s.count += s.ties
			above += float64(s.ties) * square(s.bound)
		}
	}
	s.apart, s.share = max(0, all-above), 1
	if all > 0 {
		s.share = min(1, above/all)
	}
	return s, nil
}

// magnitudes visits the bits of the magnitudes of the entries outside the support that
// are not zero.
func (l *layer) magnitudes(ctx context.Context, visit func(bits uint32)) error {
	in := columns{support: l.support}
	return l.Each(ctx, func(r int, row []float32, stored []int32) error {
		for _, c := range in.of(r) {
			row[c] = 0
		}
		add := func(v float32) {
			if v != 0 {
				visit(math.Float32bits(v) &^ (1 << 31))
			}
		}
		if stored == nil {
			for _, v := range row {
				add(v)
			}
		}
		for _, c := range stored {
			add(row[c])
		}
		return nil
	})
}

// sparse is the matrix with all of its support and the entries selected, which are read
// when they are written.
func (l *layer) sparse(ctx context.Context, name string, s *selection) *onnxio.SparseTensor {
	n := l.support.NonZeros() + s.count
	generated := func(size int64, put func(b []byte, r, c int, v float32) []byte) onnxio.Data {
		return onnxio.Generate(size*n, func(w io.Writer) error {
			var b []byte
			return l.selected(ctx, s, func(r int, row []float32, cols []int32) error {
				b = b[:0]
				for _, c := range cols {
					b = put(b, r, int(c), row[c])
				}
				_, err := w.Write(b)
				return err
			})
		})
	}
	return &onnxio.SparseTensor{
		Dims: []int64{int64(l.Rows), int64(l.Cols)},
		Values: &onnxio.Tensor{
			Name: name, Type: onnxio.Float32, Dims: []int64{n},
			Data: generated(4, func(b []byte, _, _ int, v float32) []byte {
				return binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}),
		},
		Indices: &onnxio.Tensor{
			Name: name + ".indices", Type: onnxio.Int64, Dims: []int64{n},
			Data: generated(8, func(b []byte, r, c int, _ float32) []byte {
				return binary.LittleEndian.AppendUint64(b, uint64(r)*uint64(l.Cols)+uint64(c))
			}),
		},
	}
}

// selected visits the rows in their order, with the columns that stay ascending.
func (l *layer) selected(
	ctx context.Context, s *selection, visit func(r int, row []float32, cols []int32) error,
) error {
	in := columns{support: l.support}
	ties := s.ties
	var stay []int32
	return l.EachOrdered(ctx, func(r int, row []float32, _ []int32) error {
		stay = stay[:0]
		support := in.of(r)
		for c, v := range row {
			if len(support) > 0 && int(support[0]) == c {
				support = support[1:]
				stay = append(stay, int32(c))
				continue
			}
			bits := math.Float32bits(v) &^ (1 << 31)
			if bits == s.bound && ties > 0 {
				ties--
			} else if bits <= s.bound {
				continue
			}
			stay = append(stay, int32(c))
		}
		return visit(r, row, stay)
	})
}
