package finetune

import (
	"efcn/convert/affine"
	"efcn/internal/kernel"
)

// mask is the support of a matrix [out, in], or what lies outside it: the entries that
// are trained. Of a dense matrix it takes no memory of the matrix's size.
type mask struct {
	support *affine.Map
	outside bool
	stored  *pattern // of a sparse matrix, whose entries alone are counted; else nil
}

// each calls visit for all stretches of the entries in the mask or, if in is
// false, of the others, in ascending order within a row and in parallel over
// rows. Entries of one row are visited by one goroutine.
func (k *mask) each(in bool, visit func(lo, hi int)) {
	kernel.Parallel(k.support.Rows(), 1+elementGrain/max(1, k.support.Cols()),
		func(lo, hi int) { k.rows(lo, hi, in, visit) })
}

// rows is each for the rows from lo to hi.
func (k *mask) rows(lo, hi int, in bool, visit func(lo, hi int)) {
	w := rowWalk{inside: in != k.outside, visit: visit}
	if k.stored != nil {
		k.stored.walk(lo, hi, &w)
		return
	}
	m, cols := k.support, k.support.Cols()
	channels := m.InChannels / m.Groups
	var taps []affine.Tap
	for r := lo; r < hi; r++ {
		o, p := r/m.Taps.Out, r%m.Taps.Out
		taps = m.Taps.At(p, taps)
		first := o / (m.OutChannels / m.Groups) * channels
		w.done = r * cols
		for c := first; c < first+channels; c++ {
			base := r*cols + c*m.Taps.In
			for i := 0; i < len(taps); {
				j := i + 1
				for j < len(taps) && taps[j].In == taps[j-1].In+1 {
					j++
				}
				w.stretch(base+int(taps[i].In), base+int(taps[j-1].In)+1)
				i = j
			}
		}
		w.end((r + 1) * cols)
	}
}

// walk goes through the stored entries of the rows from lo to hi.
func (p *pattern) walk(lo, hi int, w *rowWalk) {
	for r := lo; r < hi; r++ {
		w.done = p.rows[r]
		in := p.entries[p.first[r]:p.first[r+1]]
		for i := 0; i < len(in); {
			j := i + 1
			for j < len(in) && in[j] == in[j-1]+1 {
				j++
			}
			w.stretch(in[i], in[j-1]+1)
			i = j
		}
		w.end(p.rows[r+1])
	}
}

// rowWalk visits stretches of a row that are in the support, or those between them.
type rowWalk struct {
	inside bool
	visit  func(lo, hi int)
	done   int // what lies before this was visited or passed over
}

// stretch is the next one in the support.
func (w *rowWalk) stretch(lo, hi int) {
	if w.inside {
		w.visit(lo, hi)
	} else if w.done < lo {
		w.visit(w.done, lo)
	}
	w.done = hi
}

// end is that of the row.
func (w *rowWalk) end(end int) {
	if !w.inside && w.done < end {
		w.visit(w.done, end)
	}
}

// clearOthers sets to zero what of a matrix is not in the mask.
func clearOthers[T kernel.Float](k *mask, g []T) {
	k.each(false, func(lo, hi int) { clear(g[lo:hi]) })
}

// tie is which entries of a parameter move together: blocks of neighbours, or what shares
// a coefficient of a map.
type tie struct {
	block int // elements; 0 for a map
	*affine.Map
	// walk calls its visitor for every position of output channel o with where the entries
	// of the position's taps are.
	walk func(o int, mean func(p int, at func(c, tap int) int))
}

// tieDense ties the entries of a matrix [out, in].
func tieDense(m *affine.Map) *tie {
	cols, channels := m.Cols(), m.InChannels/m.Groups
	return &tie{Map: m, walk: func(o int, mean func(p int, at func(c, tap int) int)) {
		first := o / (m.OutChannels / m.Groups) * channels
		var taps []affine.Tap
		for p := range m.Taps.Out {
			taps = m.Taps.At(p, taps)
			row := (o*m.Taps.Out + p) * cols
			mean(p, func(c, j int) int { return row + (first+c)*m.Taps.In + int(taps[j].In) })
		}
	}}
}

// tieLocal ties weights in local form.
func tieLocal(m *affine.Map) *tie {
	dims, slots := m.LocalDims()
	out, width := int(dims[2]), int(dims[3])
	return &tie{Map: m, walk: func(o int, mean func(p int, at func(c, tap int) int)) {
		for p := range m.Taps.Out {
			row := ((o/out*m.Taps.Out+p)*out + o%out) * width
			mean(p, func(c, j int) int { return row + c*slots + j })
		}
	}}
}

// each calls visit for every entry of output channel o with the coefficient that it has
// in a row of the kernel.
func (t *tie) each(o int, visit func(coef, entry int)) {
	var taps []affine.Tap
	t.walk(o, func(p int, at func(c, tap int) int) {
		taps = t.Taps.At(p, taps)
		for c := range t.InChannels / t.Groups {
			for j, tap := range taps {
				visit(c*t.Taps.Coefs+int(tap.Coef), at(c, j))
			}
		}
	})
}

// average puts in place of the entries of g that are tied their mean.
func average[T kernel.Float](t *tie, g []T) {
	if t.block > 0 {
		averageBlocks(t.block, g)
		return
	}
	rows := t.Tied()
	kernel.Parallel(len(rows), 1, func(lo, hi int) {
		sums := make([]float64, t.InChannels/t.Groups*t.Taps.Coefs)
		counts := make([]int, len(sums))
		for _, tied := range rows[lo:hi] {
			clear(sums)
			clear(counts)
			for _, o := range tied {
				t.each(o, func(coef, entry int) {
					sums[coef] += float64(g[entry])
					counts[coef]++
				})
			}
			for i, n := range counts {
				sums[i] /= float64(max(1, n))
			}
			for _, o := range tied {
				t.each(o, func(coef, entry int) { g[entry] = T(sums[coef]) })
			}
		}
	})
}

// averageBlocks puts in place of every block of so many elements its mean.
func averageBlocks[T kernel.Float](size int, g []T) {
	for at := 0; at < len(g); at += size {
		var sum float64
		for _, v := range g[at : at+size] {
			sum += float64(v)
		}
		mean := T(sum / float64(size))
		for i := range g[at : at+size] {
			g[at+i] = mean
		}
	}
}

// lists calls visit for the entries that are tied with each other, of n in all. What is
// tied with nothing else may be left out.
func (t *tie) lists(n int, visit func(entries []int64)) {
	var list []int64
	for at := 0; t.block > 0 && at < n; at += t.block {
		list = list[:0]
		for i := at; i < at+t.block; i++ {
			list = append(list, int64(i))
		}
		visit(list)
	}
	if t.block > 0 {
		return
	}
	of := make([][]int64, t.InChannels/t.Groups*t.Taps.Coefs)
	for _, tied := range t.Tied() {
		for i := range of {
			of[i] = of[i][:0]
		}
		for _, o := range tied {
			t.each(o, func(coef, entry int) { of[coef] = append(of[coef], int64(entry)) })
		}
		for _, entries := range of {
			if len(entries) > 1 {
				visit(entries)
			}
		}
	}
}
