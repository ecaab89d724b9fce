package kernel

// forwardDepthwise is Forward of a convolution of one channel a group. The stretch of a
// line whose windows lie inside the input is computed in one go, of all channels; the
// positions beside it one by one, from the taps that are inside.
func (p *PackedConv) forwardDepthwise(w Window, n int, x, y []float32, finish Finish) {
	v := w.volume()
	lo, hi := v.interior(2)
	now := finish
	if finish.Add != nil { // clipped after that
		now = NoFinish
	}
	Parallel(n*v.out[1], max(1, 1<<13/max(1, v.out[2]*p.out*v.taps())), func(first, last int) {
		call := &depthwiseCall{
			weights: &p.weights[0], bias: &p.bias[0],
			step: 4 * v.stride[2] * p.out, ldy: 4 * p.out, channels: 4 * p.out, mask: maskOf(p.out % 16),
			lo: now.Lo, hi: now.Hi,
		}
		table := make([][2]int, v.taps())
		for i := first; i < last; i++ {
			image, h := i/v.out[1], i%v.out[1]
			d := depthwiseLine{p, &v, call, table, image, h, x, y}
			for at := 0; at < lo; at++ {
				d.positions(at, at+1)
			}
			if lo < hi {
				d.positions(lo, hi)
			}
			for at := hi; at < v.out[2]; at++ {
				d.positions(at, at+1)
			}
			if finish.Add != nil {
				line := y[i*v.out[2]*p.out:][:v.out[2]*p.out]
				Add(line, line, finish.Add[i*v.out[2]*p.out:][:len(line)])
				Clip(line, line, finish.Lo, finish.Hi)
			}
		}
	})
}

// interior returns the output positions [lo, hi) along an axis whose taps all lie inside
// the input.
func (v *volume) interior(a int) (lo, hi int) {
	lo, hi = 0, v.out[a]
	for t := range v.kernel[a] {
		from, to := v.reach(a, t)
		lo, hi = max(lo, from), min(hi, to)
	}
	if lo >= hi {
		return v.out[a], v.out[a]
	}
	return lo, hi
}

// depthwiseLine is line h of an image of the result of a depthwise convolution.
type depthwiseLine struct {
	*PackedConv
	v        *volume
	call     *depthwiseCall
	table    [][2]int
	image, h int
	x, y     []float32
}

// positions computes positions [lo, hi), which have the same taps inside the input.
func (d *depthwiseLine) positions(lo, hi int) {
	v, c := d.v, d.out
	taps, step, from := 0, roundUp(c, 16), -1
	for t1 := range v.kernel[1] {
		row := v.source(1, d.h, t1)
		if row < 0 || row >= v.in[1] {
			continue
		}
		for t2 := range v.kernel[2] {
			col := v.source(2, lo, t2)
			if col < 0 || col >= v.in[2] {
				continue
			}
			at := ((d.image*v.in[1]+row)*v.in[2] + col) * c
			if from < 0 {
				from = at
			}
			d.table[taps] = [2]int{4 * (at - from), 4 * (t1*v.kernel[2] + t2) * step}
			taps++
		}
	}
	call := d.call
	call.y = &d.y[((d.image*v.out[1]+d.h)*v.out[2]+lo)*c]
	if taps == 0 { // the windows are all padding
		for at := 0; at < (hi-lo)*c; at += c {
			Clip(d.y[(d.image*v.out[1]+d.h)*v.out[2]*c+lo*c+at:][:c], d.bias[:c], call.lo, call.hi)
		}
		return
	}
	call.x, call.table, call.taps, call.positions = &d.x[from], &d.table[0], taps, hi-lo
	d.code.depthwise(call)
}
