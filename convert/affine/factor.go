package affine

// Factor is an affine map y = A·x + b that may be one factor of a product. Its
// entries are given in float64, unrounded where the CNN's parameters are not
// themselves the entries (1/n of averages, scales of a normalisation). A factor
// holds no more than its geometry and shares the CNN's parameters.
//
// Only this package implements it: [Map.Factor], [Selection.Factor] and [Diagonal] make
// one. What is not exported is how [Product] reads its rows.
type Factor interface {
	rows() int
	cols() int
	// Count is how many operations it costs: the non-zeros of a matrix, the
	// elements of what it computes otherwise.
	Count() int64
	// Bytes is the size of its constants where it is no matrix.
	Bytes() int64
	// addRow adds scale times row r to acc: every entry of the support in
	// ascending order of columns.
	addRow(r int, scale float64, acc *accumulator)
	// dot returns the product of row r with x, summed up in ascending order of
	// columns, without the bias.
	dot(r int, x []float64, acc *accumulator) float64
	// Biased reports whether any row has a bias; offset is that of row r.
	Biased() bool
	offset(r int) float64
	// class numbers rows: those of one number, below classes(), have the same
	// columns.
	class(r int) int
	classes() int
	// through returns the row of the factor before that row r only passes on,
	// scaled or not; ok is false if r sums several up or reads none.
	through(r int) (before int, ok bool)
	// parts is the number of groups that channels fall into, 0 if the factor
	// does not tell.
	parts() int
}

// matrixFactor is a Map as a factor. Its coefficients are those of exact where
// the map's kernel has them rounded.
type matrixFactor struct{ *Map }

// Factor returns the map as a factor.
func (m *Map) Factor() Factor { return matrixFactor{m} }

func (f matrixFactor) rows() int               { return f.Rows() }
func (f matrixFactor) cols() int               { return f.Cols() }
func (f matrixFactor) Count() int64            { return f.NonZeros() }
func (f matrixFactor) Bytes() int64            { return 0 }
func (f matrixFactor) Biased() bool            { return f.Bias != nil }
func (f matrixFactor) offset(r int) float64    { return float64(f.RowBias(r)) }
func (f matrixFactor) classes() int            { return f.Groups * f.Taps.Out }
func (f matrixFactor) through(int) (int, bool) { return 0, false }
func (f matrixFactor) parts() int              { return f.Groups }

func (f matrixFactor) class(r int) int {
	o, p := r/f.Taps.Out, r%f.Taps.Out
	return o/(f.OutChannels/f.Groups)*f.Taps.Out + p
}

// coefficients returns where those of row r start, and how many there are for
// one input channel.
func (f matrixFactor) coefficients(r int) (start, coefs int) {
	return f.KernelRow(r/f.Taps.Out) * (f.InChannels / f.Groups) * f.Taps.Coefs, f.Taps.Coefs
}

func (f matrixFactor) addRow(r int, scale float64, acc *accumulator) {
	acc.taps = f.Taps.At(r%f.Taps.Out, acc.taps)
	first, channels := f.Channels(r)
	start, coefs := f.coefficients(r)
	for c := range channels {
		base := (first + c) * f.Taps.In
		if f.Exact != nil {
			k := f.Exact[start+c*coefs:][:coefs]
			for _, t := range acc.taps {
				acc.add(base+int(t.In), float64(scale*k[t.Coef]))
			}
			continue
		}
		k := f.Kernel[start+c*coefs:][:coefs]
		for _, t := range acc.taps {
			acc.add(base+int(t.In), float64(scale*float64(k[t.Coef])))
		}
	}
}

func (f matrixFactor) dot(r int, x []float64, acc *accumulator) float64 {
	acc.taps = f.Taps.At(r%f.Taps.Out, acc.taps)
	first, channels := f.Channels(r)
	start, coefs := f.coefficients(r)
	sum := 0.0
	for c := range channels {
		base := (first + c) * f.Taps.In
		for _, t := range acc.taps {
			i := start + c*coefs + int(t.Coef)
			k := 0.0
			if f.Exact != nil {
				k = f.Exact[i]
			} else {
				k = float64(f.Kernel[i])
			}
			sum += float64(k * x[base+int(t.In)]) // not fused: the same on every machine
		}
	}
	return sum
}

// selectionFactor passes elements on: row r has a one in column from[r], or no
// entry and the bias fill where that is outside.
type selectionFactor struct {
	from []int64
	in   int
	fill float32
}

func (f *selectionFactor) rows() int    { return len(f.from) }
func (f *selectionFactor) cols() int    { return f.in }
func (f *selectionFactor) Count() int64 { return int64(len(f.from)) }
func (f *selectionFactor) Bytes() int64 { return 8 * int64(len(f.from)) }
func (f *selectionFactor) Biased() bool { return f.fill != 0 }
func (f *selectionFactor) classes() int { return f.in + 1 }
func (f *selectionFactor) parts() int   { return 0 }
func (f *selectionFactor) class(r int) int {
	if f.from[r] == Outside {
		return f.in
	}
	return int(f.from[r])
}

func (f *selectionFactor) offset(r int) float64 {
	if f.from[r] == Outside {
		return float64(f.fill)
	}
	return 0
}

func (f *selectionFactor) addRow(r int, scale float64, acc *accumulator) {
	if c := f.from[r]; c != Outside {
		acc.add(int(c), scale)
	}
}

func (f *selectionFactor) dot(r int, x []float64, _ *accumulator) float64 {
	if c := f.from[r]; c != Outside {
		return x[c]
	}
	return 0
}

func (f *selectionFactor) through(r int) (int, bool) { return int(f.from[r]), f.from[r] != Outside }

// Diagonal multiplies every element by itself and adds to it:
// y[i] = scale(i)·x[i] + shift(i). A nil function stands for ones or zeros.
type Diagonal struct {
	Size         int
	Scale, Shift func(i int) float64
}

// Count is one operation for every element.
func (f *Diagonal) Count() int64 { return int64(f.Size) }

// Biased reports whether it adds anything.
func (f *Diagonal) Biased() bool { return f.Shift != nil }

func (f *Diagonal) rows() int                 { return f.Size }
func (f *Diagonal) cols() int                 { return f.Size }
func (f *Diagonal) classes() int              { return f.Size }
func (f *Diagonal) class(r int) int           { return r }
func (f *Diagonal) through(r int) (int, bool) { return r, true }
func (f *Diagonal) parts() int                { return 0 }

// Bytes is the size of its scale and shift.
func (f *Diagonal) Bytes() int64 {
	n := int64(0)
	if f.Scale != nil {
		n += 4 * int64(f.Size)
	}
	if f.Shift != nil {
		n += 4 * int64(f.Size)
	}
	return n
}

func (f *Diagonal) entry(r int) float64 {
	if f.Scale == nil {
		return 1
	}
	return f.Scale(r)
}

func (f *Diagonal) offset(r int) float64 {
	if f.Shift == nil {
		return 0
	}
	return f.Shift(r)
}

func (f *Diagonal) addRow(r int, scale float64, acc *accumulator) {
	acc.add(r, float64(scale*f.entry(r)))
}

func (f *Diagonal) dot(r int, x []float64, _ *accumulator) float64 {
	return float64(f.entry(r) * x[r])
}
