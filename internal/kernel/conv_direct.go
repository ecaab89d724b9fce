package kernel

// The convolutions of one input channel a group, depthwise among them: an
// output plane is a sum of shifted, scaled input planes.

// span calls body for every tap and every output line that it reaches inside
// the input: tap index, index of the line's first output position, index of
// the input position that one reads, and the number of positions, which are
// neighbours in the output and stride apart in the input.
func (v *volume) span(body func(tap, out, in, count int)) {
	tap := 0
	for t0 := range v.kernel[0] {
		d0, d1 := v.reach(0, t0)
		for t1 := range v.kernel[1] {
			h0, h1 := v.reach(1, t1)
			for t2 := range v.kernel[2] {
				lo, hi := v.reach(2, t2)
				if lo < hi {
					for d := d0; d < d1; d++ {
						for h := h0; h < h1; h++ {
							in := (v.source(0, d, t0)*v.in[1]+v.source(1, h, t1))*v.in[2] + v.source(2, lo, t2)
							body(tap, (d*v.out[1]+h)*v.out[2]+lo, in, hi-lo)
						}
					}
				}
				tap++
			}
		}
	}
}

func forwardDirect[T Float](l *layer, n int, x, w, bias, y []T, then Then[T]) {
	outs, stride := l.groups*l.out, l.stride[2]
	Parallel(n*outs, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			o := i % outs
			xs := x[(i/outs*l.groups+o/l.out)*l.inSize:][:l.inSize]
			ys, ws := y[i*l.outSize:(i+1)*l.outSize], w[o*l.rows:(o+1)*l.rows]
			if bias != nil {
				fill(ys, bias[o])
			} else {
				clear(ys)
			}
			l.span(func(tap, out, in, count int) {
				k, dst, src := ws[tap], ys[out:out+count], xs[in:]
				if stride == 1 {
					src = src[:len(dst)]
					for j, s := range src {
						dst[j] += k * s
					}
					return
				}
				for j := range dst {
					dst[j] += k * src[j*stride]
				}
			})
			then.do(i*l.outSize, ys)
		}
	})
}

func backwardInputDirect[T Float](l *layer, n int, dy, w, dx []T) {
	stride := l.stride[2]
	Parallel(n*l.groups, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dxs := dx[i*l.inSize : (i+1)*l.inSize]
			clear(dxs)
			for o := range l.out {
				dys, ws := dy[(i*l.out+o)*l.outSize:][:l.outSize], w[(i%l.groups*l.out+o)*l.rows:][:l.rows]
				l.span(func(tap, out, in, count int) {
					k, src, dst := ws[tap], dys[out:out+count], dxs[in:]
					if stride == 1 {
						dst = dst[:len(src)]
						for j, s := range src {
							dst[j] += k * s
						}
						return
					}
					for j, s := range src {
						dst[j*stride] += k * s
					}
				})
			}
		}
	})
}

func backwardWeightsDirect[T Float](l *layer, n int, x, dy, dw []T) {
	outs, stride := l.groups*l.out, l.stride[2]
	Parallel(outs, 1, func(lo, hi int) {
		for o := lo; o < hi; o++ {
			ws := dw[o*l.rows : (o+1)*l.rows]
			clear(ws)
			for image := range n {
				xs := x[(image*l.groups+o/l.out)*l.inSize:][:l.inSize]
				dys := dy[(image*outs+o)*l.outSize:][:l.outSize]
				l.span(func(tap, out, in, count int) {
					var total T
					src := xs[in:]
					for j, g := range dys[out : out+count] {
						total += g * src[j*stride]
					}
					ws[tap] += total
				})
			}
		}
	})
}
