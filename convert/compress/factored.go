package compress

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"efcn/convert/affine"
	"efcn/internal/lowrank"
	"efcn/onnxio"
)

// lowRank is what stays of the part of a layer outside the support.
type lowRank struct {
	rank    int
	product factors // the zero value where nothing is outside
	share   float64 // of ‖W_off‖², that its singular values have
	apart   float64 // ‖W − W'‖², W' the matrix that the layer then has
}

// wholeUpTo is how many rows or columns a matrix has at most that is decomposed whole,
// which takes no longer than rounds of an iteration.
const wholeUpTo = 256

// search is how the leading triples of a layer's matrix are looked for: with so many
// vectors more, and until none of their singular values rises by more than a share of the
// largest in a round, or so many rounds are done.
func (l *layer) search(ctx context.Context, rank, more, rounds int, share float64, seed uint64) (*lowrank.SVD, error) {
	if least := min(l.Rows, l.Cols); least <= wholeUpTo {
		more = least
	}
	svd, err := lowrank.Leading(ctx, offLocal{l}, rank,
		lowrank.Options{Seed: seed, Oversample: more, Power: rounds, Tolerance: share})
	if err != nil {
		return nil, fmt.Errorf("layer %q: %w", l.Layer.Node, err)
	}
	return svd, nil
}

// decompose cuts the part outside the support, whose square is given, to the rank of the
// target, or to the smallest rank that has the target's share of the square.
func (l *layer) decompose(ctx context.Context, t Target, square float64, seed uint64) (*lowRank, error) {
	most := min(l.Rows, l.Cols)
	if square == 0 {
		return &lowRank{rank: min(max(1, t.Rank), most), share: 1}, nil
	}
	rank := t.Rank
	if rank == 0 {
		rank = 16
	}
	for ; ; rank *= 2 {
		rank = min(rank, l.mostRank(t, most))
		svd, err := l.search(ctx, rank, max(8, rank/4), 20, 1e-5, seed)
		if err != nil {
			return nil, err
		}
		enough, share := shareOf(svd.S, square, t.Energy)
		if t.Rank == 0 && enough == 0 && rank < l.mostRank(t, most) {
			continue
		}
		if t.Rank == 0 && enough == 0 {
			return nil, &EnergyError{Layer: l.Layer.Node, Energy: t.Energy, Rank: rank, Reached: share}
		}
		if t.Rank == 0 {
			rank, share = enough, sumOfSquares(svd.S[:enough])/square
		}
		return l.cut(svd, rank, share, square), nil
	}
}

// mostRank is the largest rank that is looked at: all of them where the rank is given,
// else the largest with which a factored layer is smaller than a dense one.
func (l *layer) mostRank(t Target, most int) int {
	if t.Rank > 0 {
		return most
	}
	free := int64(l.Rows)*int64(l.Cols) - l.support.Local().Shape().Bytes()/4
	return max(1, min(most, int((free-1)/int64(l.Rows+l.Cols))))
}

// shareOf returns how many singular values have a share of the square, 0 if all of them
// have less, and the share of all of them.
func shareOf(s []float64, square, energy float64) (enough int, share float64) {
	var sum float64
	for i, v := range s {
		sum += v * v
		if enough == 0 && sum >= energy*square {
			enough = i + 1
		}
	}
	return enough, min(1, sum/square)
}

func sumOfSquares(v []float64) (sum float64) {
	for _, x := range v {
		sum += x * x
	}
	return sum
}

// cut takes the first triples: U has the singular values, and V orthonormal rows, as
// right after a conversion. Both are rounded to float32. The largest entry of each row of
// V is positive: a triple leaves the sign of its vectors open, which would follow from the
// seed and from rounding.
func (l *layer) cut(svd *lowrank.SVD, rank int, share, square float64) *lowRank {
	n := len(svd.S)
	f := factors{make([]float64, l.Rows*rank), make([]float64, l.Cols*rank), rank}
	largest := make([]float64, rank) // of each row of V, with its sign
	for i := range f.right {
		if v := svd.V[i/rank*n+i%rank]; math.Abs(v) > math.Abs(largest[i%rank]) {
			largest[i%rank] = v
		}
	}
	sign := func(k int) float64 { return math.Copysign(1, largest[k]) }
	for i := range f.left {
		f.left[i] = float64(float32(sign(i%rank) * svd.U[i/rank*n+i%rank] * svd.S[i%rank]))
	}
	for i := range f.right {
		f.right[i] = float64(float32(sign(i%rank) * svd.V[i/rank*n+i%rank]))
	}
	// W_off − U·V has that square, and where it lies in the support the local weights
	// take it back.
	apart := square - sumOfSquares(svd.S[:rank])
	in := columns{support: l.support}
	for r := range l.Rows {
		for _, c := range in.of(r) {
			inside := f.product(r, c)
			apart -= inside * inside
		}
	}
	return &lowRank{rank: rank, product: f, share: share, apart: max(0, apart)}
}

// data returns U [Rows, rank] and V [rank, Cols] as they are stored. Where nothing is
// outside the support they are those of a layer that was just converted.
func (f *lowRank) data(l *layer) (left, right onnxio.Data) {
	if f.product.rank > 0 {
		return onnxio.NewTensor("", nil, floats(f.product.left)).Data,
			onnxio.NewTensor("", nil, affine.Transposed(floats(f.product.right), l.Cols, f.rank)).Data
	}
	return onnxio.NewTensor("", nil, make([]float32, l.Rows*f.rank)).Data,
		onnxio.Generate(4*int64(f.rank)*int64(l.Cols), func(w io.Writer) error {
			return affine.WriteOrthonormal(w, l.Layer.Node, f.rank, l.Cols)
		})
}

func floats(v []float64) []float32 {
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
	}
	return f
}

// localWeights are the weights of a layer in local form, less what f has of them: the
// entries of the support keep their sum. They are made when they are written, and held
// then.
func (l *layer) localWeights(ctx context.Context, f factors) onnxio.Data {
	dims, perChannel := l.support.LocalDims()
	positions, out, slots := int(dims[1]), int(dims[2]), int(dims[3])
	return onnxio.Generate(4*affine.Size(dims), func(w io.Writer) error {
		weights := make([]byte, 4*affine.Size(dims))
		err := l.eachSupport(ctx, func(r int, cols []int32, entries []float64) {
			o, p := r/positions, r%positions
			at := ((o/out*positions+p)*out + o%out) * slots
			taps := len(cols) / max(1, slots/max(1, perChannel)) // of this position
			for i, v := range entries {
				slot := i/taps*perChannel + i%taps
				bits := math.Float32bits(float32(v - f.product(r, cols[i])))
				binary.LittleEndian.PutUint32(weights[4*(at+slot):], bits)
			}
		})
		if err != nil {
			return err
		}
		_, err = w.Write(weights)
		return err
	})
}
