package kernel

// The loops of one pass over a stretch of a value. They run on the caller's
// thread. dst and the sources have equal lengths, or they panic; dst may be a
// source. Vector code and plain code give the same bits.

// ScaleShift computes dst = src·factor + offset, rounding the product.
func ScaleShift[T Float](dst, src []T, factor, offset T) {
	sameLength(len(dst), len(src))
	if d, s, ok := vectors(dst, src); ok {
		sscale(len(d), float32(factor), float32(offset), &s[0], &d[0])
		return
	}
	for i, v := range src {
		// The conversion keeps processors that could from fusing the two.
		dst[i] = T(v*factor) + offset
	}
}

// Clip computes dst = min(max(src, lo), hi). It keeps NaN, and -0 at a bound of 0;
// where lo is above hi, the result is hi.
func Clip[T Float](dst, src []T, lo, hi T) {
	sameLength(len(dst), len(src))
	if d, s, ok := vectors(dst, src); ok {
		sclip(len(d), float32(lo), float32(hi), &s[0], &d[0])
		return
	}
	for i, v := range src {
		if v < lo {
			v = lo
		}
		if v > hi {
			v = hi
		}
		dst[i] = v
	}
}

// Add computes dst = a + b.
func Add[T Float](dst, a, b []T) {
	sameLength(len(dst), len(a))
	sameLength(len(dst), len(b))
	if d, s, ok := vectors(dst, a); ok {
		sadd(len(d), &s[0], &any(b).([]float32)[0], &d[0])
		return
	}
	for i, v := range a {
		dst[i] = v + b[i]
	}
}

// Gate computes dst = grad where out is above 0, or NaN, and 0 elsewhere: the
// gradient at the input of a ReLU whose output is out.
func Gate[T Float](dst, out, grad []T) {
	sameLength(len(dst), len(out))
	sameLength(len(dst), len(grad))
	if d, s, ok := vectors(dst, out); ok {
		sgate(len(d), &s[0], &any(grad).([]float32)[0], &d[0])
		return
	}
	for i, g := range grad {
		if out[i] <= 0 {
			g = 0
		}
		dst[i] = g
	}
}

// greatest computes the greater of a and b, and its index, of ai and bi: NaN is
// greater than anything else, and of equals the lower index goes first.
func greatest[T Float](dst []T, index []int32, a []T, ai []int32, b []T, bi []int32) {
	sameLength(len(dst), len(index))
	sameLength(len(dst), len(a))
	sameLength(len(dst), len(ai))
	sameLength(len(dst), len(b))
	sameLength(len(dst), len(bi))
	if d, s, ok := vectors(dst, a); ok {
		sgreatest(len(d), &s[0], &ai[0], &any(b).([]float32)[0], &bi[0], &d[0], &index[0])
		return
	}
	for i, v := range a {
		u, at := b[i], bi[i]
		vNaN, uNaN := v != v, u != u
		if v > u || vNaN && !uNaN || (v == u || vNaN && uNaN) && ai[i] < at {
			u, at = v, ai[i]
		}
		dst[i], index[i] = u, at
	}
}

// maximum computes the greater of a and b, NaN if either is.
func maximum[T Float](dst, a, b []T) {
	sameLength(len(dst), len(a))
	sameLength(len(dst), len(b))
	if d, s, ok := vectors(dst, a); ok {
		smaximum(len(d), &s[0], &any(b).([]float32)[0], &d[0])
		return
	}
	for i, v := range a {
		// Not the built-in max: it tells zeros apart.
		if u := b[i]; u > v || u != u {
			v = u
		}
		dst[i] = v
	}
}

// everySecond computes dst[i] = src[2·i].
func everySecond[T Float](dst, src []T) {
	if len(dst) == 0 {
		return
	}
	src = src[:2*len(dst)-1]
	if d, s, ok := vectors(dst, src); ok {
		severysecond(len(d), &s[0], &d[0])
		return
	}
	for i := range dst {
		dst[i] = src[2*i]
	}
}

// sumTaps computes dst[i] = bias + Σ factors[t]·src[offsets[t]+i]. The vector
// code works on whole lanes of tapLanes elements: len(dst) is a multiple of
// that, and src as long as all of dst reads.
func sumTaps[T Float](dst, src []T, offsets []int, factors []T, bias T) {
	if len(dst) == 0 {
		return
	}
	for _, o := range offsets {
		_ = src[o : o+len(dst)]
	}
	if d, s, ok := vectors(dst, src); ok && len(d)%tapLanes == 0 && len(offsets) == len(factors) && len(offsets) > 0 {
		f := any(factors).([]float32)
		staps(len(d), len(offsets), &offsets[0], &f[0], &s[0], &d[0], float32(bias))
		return
	}
	fill(dst, bias)
	for t, o := range offsets {
		k := factors[t]
		for i, v := range src[o : o+len(dst)] {
			dst[i] += k * v
		}
	}
}

// tapLanes is how many elements sumTaps computes at a time.
const tapLanes = 32

// vectors returns dst and src as float32, and whether there is vector code for them.
func vectors[T Float](dst, src []T) (d, s []float32, ok bool) {
	if !vectorCode || len(dst) == 0 {
		return nil, nil, false
	}
	if d, ok = any(dst).([]float32); ok {
		s = any(src).([]float32)
	}
	return d, s, ok
}

func sameLength(a, b int) {
	if a != b {
		panic("kernel: stretches of unequal length")
	}
}
