package finetune

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/restore"
	"efcn/onnxio"
)

// denseOf is the matrix of a layer, made dense.
func denseOf(t *testing.T, m *onnxio.Model, l record.Layer) *mat.Dense {
	t.Helper()
	dense, _, err := restore.ToDense(t.Context(), m, 0)
	if err != nil {
		t.Fatal(err)
	}
	return double(t, dense, l.Weight)
}

// outside is a matrix without its entries in the support of a layer.
func outside(m *mat.Dense, l record.Layer) *mat.Dense {
	off := mat.DenseCopyOf(m)
	for i, coef := range coefficients(l) {
		if coef >= 0 {
			off.RawMatrix().Data[i] = 0
		}
	}
	return off
}

// TestRefresh: what a refresh cuts is U·V without its leading half, outside the support;
// the rest of the matrix stays, and the freed rows of V are the leading directions of the
// gradient of the dense form, of its part that is orthogonal to the rows that stay.
func TestRefresh(t *testing.T) {
	const rank = 6
	checked := 0
	for name, cnn := range map[string]*onnxio.Model{"toy": toyModel(), "groups": groupedModel()} {
		set := toySet(90, 3)
		fresh := embedWith(t, cnn, convert.Options{Layout: record.Factored, Rank: rank})
		learned, err := Train(t.Context(), fresh, set, nil, Options{Epochs: 40, Batch: 30, Rate: 0.3}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, learned, err := newRun(t.Context(), learned, set, nil, Options{Batch: 30, InitBatches: 3})
		if err != nil {
			t.Fatal(err)
		}
		s.shuffle()
		all, err := s.trainee.subspaces(false)
		if err == nil {
			err = s.refresh(t.Context(), all)
		}
		if err != nil {
			t.Fatal(err)
		}
		restarted, err := s.trainee.export(learned)
		if err != nil {
			t.Fatal(err)
		}
		gradients := denseGradients(t, learned, set, 0, 3)
		for _, l := range factoredLayers(t, learned) {
			u, v := double(t, learned, l.Left), double(t, learned, l.Right)
			out, _ := u.Dims()
			_, in := v.Dims()
			var uv, kept, change mat.Dense
			uv.Mul(u, v)
			var svd mat.SVD
			svd.Factorize(&uv, mat.SVDThin)
			var left, right mat.Dense
			svd.UTo(&left)
			svd.VTo(&right)
			lead := right.Slice(0, in, 0, rank/2)
			kept.Product(left.Slice(0, out, 0, rank/2), mat.NewDiagDense(rank/2, svd.Values(nil)[:rank/2]), lead.T())
			kept.Sub(&kept, &uv)
			cut := outside(&kept, l)
			before := denseOf(t, learned, l)
			change.Sub(denseOf(t, restarted, l), before)
			rounding := 0x1p-22 * mat.Norm(before, 2)
			norm := mat.Norm(cut, 2)
			if got := s.at.Cut[l.Node]; math.Abs(got-norm) > rounding || norm < 100*rounding {
				t.Errorf("%s, %s: cut %g, want %g", name, l.Node, got, norm)
			}
			change.Sub(&change, cut)
			if d := mat.Norm(&change, 2); !(d < rounding) {
				t.Errorf("%s, %s: the matrix differs by %g from what stays of it", name, l.Node, d)
			}

			u, v = double(t, restarted, l.Left), double(t, restarted, l.Right)
			if d := orthonormality(v); !(d < 1e-6) {
				t.Errorf("%s, %s: rows are orthonormal to %g", name, l.Node, d)
			}
			if free := u.Slice(0, out, rank/2, rank); mat.Norm(free, 2) != 0 {
				t.Errorf("%s, %s: U is not 0 in the columns that are free", name, l.Node)
			}
			gradient := outside(mat.NewDense(out, in, slices.Clone(gradients[l.Weight])), l)
			var along, onLead mat.Dense
			along.Mul(gradient, lead)
			onLead.Mul(&along, lead.T())
			gradient.Sub(gradient, &onLead)
			// Where singular values are close the directions are not settled; what they hold is.
			var of mat.SVD
			of.Factorize(gradient, mat.SVDNone)
			var held mat.Dense
			held.Mul(gradient, v.Slice(rank/2, rank, 0, in).T())
			best := mat.Norm(mat.NewDense(1, rank/2, of.Values(nil)[:rank/2]), 2)
			if share := mat.Norm(&held, 2) / best; !(share > 0.99 && share < 1+1e-6) {
				t.Errorf("%s, %s: the freed rows hold %g of what the gradient's leading directions do", name, l.Node, share)
			}
			checked++
		}
	}
	if checked != 3 {
		t.Errorf("checked %d layers, want 3", checked)
	}
}
