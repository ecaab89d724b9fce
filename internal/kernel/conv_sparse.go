package kernel

import "math"

// The gradients of a convolution whose output gradient is mostly zero. Images
// are laid out with their channels last and their padding in place; what an
// output position reads is then, for each row of taps, one stretch of memory,
// and so is what a tap row of the kernel holds for it. Both gradients are sums
// of such stretches, one for each gradient that is not zero.

// stretches is that layout, for one group.
type stretches struct {
	*layer
	size   [3]int // of the padded image that taps reach
	pixels int    // of the padded image
	run    int    // elements that a row of taps reads side by side
	padded int    // run, rounded up to whole strips
	bases  []int  // where each row of taps begins, from an output position's first
	first  []int  // where each output position's taps begin
	held   *[]int // first, borrowed: giveBack it
}

// maxStretches bounds the padded image, in multiples of the input and the output:
// far more would be mostly padding.
const maxStretches = 4

// stretches returns the layout, or false where its memory would be out of
// proportion.
func (l *layer) stretches() (*stretches, bool) {
	s := &stretches{layer: l, pixels: 1}
	budget := maxStretches*(l.inSize+l.outSize) + 1<<12
	for a := range s.size {
		if l.volume.out[a] > budget || l.kernel[a] > budget || l.dilation[a] > budget || l.stride[a] > budget {
			return nil, false
		}
		s.size[a] = (l.volume.out[a]-1)*l.stride[a] + (l.kernel[a]-1)*l.dilation[a] + 1
		if s.size[a] < 1 || s.size[a] > budget/s.pixels {
			return nil, false
		}
		s.pixels *= s.size[a]
	}
	together := 1 // taps of a row that lie side by side
	if l.dilation[2] == 1 {
		together = l.kernel[2]
	}
	s.run = together * l.in
	s.padded = roundUp(s.run, narrowStrip)
	if s.pixels*s.in+s.padded > math.MaxInt32 || s.out*s.padded > math.MaxInt32 { // of an offset
		return nil, false
	}
	for t0 := range l.kernel[0] {
		for t1 := range l.kernel[1] {
			for t2 := 0; t2 < l.kernel[2]; t2 += together {
				s.bases = append(s.bases, s.pixel(t0*l.dilation[0], t1*l.dilation[1], t2*l.dilation[2])*l.in)
			}
		}
	}
	s.held = borrow[int](l.outSize)
	s.first = (*s.held)[:0]
	for d := range l.volume.out[0] {
		for h := range l.volume.out[1] {
			for w := range l.volume.out[2] {
				s.first = append(s.first, s.pixel(d*l.stride[0], h*l.stride[1], w*l.stride[2])*l.in)
			}
		}
	}
	return s, true
}

func (s *stretches) giveBack() { giveBack(s.held) }

func (s *stretches) pixel(d, h, w int) int { return (d*s.size[1]+h)*s.size[2] + w }

// image is how many elements a padded image takes. The last strip of a row of
// taps may reach past its end.
func (s *stretches) image() int { return s.pixels*s.in + s.padded - s.run }

// each calls body for every line of the input that some tap reads: where it
// begins in a plane and in the padded image, and how many pixels it has.
func (s *stretches) each(body func(plane, pixel, count int)) {
	in, pad := s.volume.in, s.pad
	var reached [3]int
	for a := range reached {
		reached[a] = max(0, min(in[a], s.size[a]-pad[a]))
	}
	for d := range reached[0] {
		for h := range reached[1] {
			body((d*in[1]+h)*in[2], s.pixel(d+pad[0], h+pad[1], pad[2]), reached[2])
		}
	}
}

// channelsLast lays out the input of one image, x, as dst, which is zero except
// where an earlier call has written.
func channelsLast[T Float](s *stretches, x, dst []T) {
	s.each(func(plane, pixel, count int) {
		for c := range s.in {
			at := pixel*s.in + c
			for _, v := range x[c*s.inSize+plane:][:count] {
				dst[at] = v
				at += s.in
			}
		}
	})
}

// channelsFirst is its inverse.
func channelsFirst[T Float](s *stretches, src, x []T) {
	clear(x)
	s.each(func(plane, pixel, count int) {
		for c := range s.in {
			at, line := pixel*s.in+c, x[c*s.inSize+plane:][:count]
			for i := range line {
				line[i] = src[at]
				at += s.in
			}
		}
	})
}

// tapRows calls body for each row of taps and channel: the row, where the
// channel's first tap in it is in a kernel and where in the row, and how many
// taps apart from there.
func (s *stretches) tapRows(body func(row, tap, at, count int)) {
	count := s.run / s.in
	for c := range s.in {
		for row := range s.bases {
			body(row, c*s.taps()+row*count, c, count)
		}
	}
}

// backwardInputSparse is BackwardInput for a dy that is mostly zero.
func backwardInputSparse[T Float](s *stretches, n int, dy, w, dx []T) {
	// The kernels, by group and row of taps: a row of each output channel.
	row := s.out * s.padded
	group := len(s.bases) * row
	kernels := borrow[T](s.groups * group)
	defer giveBack(kernels)
	clear(*kernels)
	for g := range s.groups {
		for o := range s.out {
			src := w[(g*s.out+o)*s.rows:][:s.rows]
			dst := (*kernels)[g*group+o*s.padded:]
			s.tapRows(func(r, tap, at, count int) {
				for t := range count {
					dst[r*row+at+t*s.in] = src[tap+t]
				}
			})
		}
	}
	kernelsAt := borrow[int](s.out)
	defer giveBack(kernelsAt)
	kernelAt := *kernelsAt
	for o := range kernelAt {
		kernelAt[o] = o * s.padded
	}
	Parallel(n*s.groups, 1, func(lo, hi int) {
		sums := borrow[T](s.image())
		defer giveBack(sums)
		lists := newTermLists[T](s.outSize, s.out*s.outSize)
		defer lists.giveBack()
		for image := lo; image < hi; image++ {
			dys := dy[image*s.out*s.outSize:][:s.out*s.outSize]
			lists.begin()
			for p := range s.outSize {
				lists.add(dys[p:], s.outSize, 0, kernelAt)
				lists.end()
			}
			clear(*sums)
			for r, base := range s.bases {
				src := (*kernels)[image%s.groups*group+r*row:]
				strips(s.run, func(at, width int) {
					for p, first := range s.first {
						if terms := lists.list(p); len(terms) > 0 {
							addTerms((*sums)[first+base+at:][:width], terms, src[at:], 1)
						}
					}
				})
			}
			channelsFirst(s, *sums, dx[image*s.in*s.inSize:][:s.in*s.inSize])
		}
	})
}

// backwardWeightsSparse is BackwardWeights, without the bias, for a dy that is
// mostly zero.
func backwardWeightsSparse[T Float](s *stretches, n int, x, dy, dw []T) {
	// Sums of a share of the images, as in BackwardWeights, by group, row of
	// taps and output channel.
	row := s.out * s.padded
	group := len(s.bases) * row
	shares := max(1, min(Threads(), n))
	sums := borrow[T](shares * s.groups * group)
	defer giveBack(sums)
	clear(*sums)
	together := max(1, min(columnBudget/4/s.image(), 1<<12/max(1, s.outSize)))
	Parallel(shares*s.groups, 1, func(lo, hi int) {
		images := borrow[T](together * s.image())
		defer giveBack(images)
		clear(*images)
		lists := newTermLists[T](s.out, s.out*together*s.outSize)
		defer lists.giveBack()
		for i := lo; i < hi; i++ {
			share, g := i/s.groups, i%s.groups
			sum := (*sums)[i*group : (i+1)*group]
			last := n * (share + 1) / shares
			for image := n * share / shares; image < last; image += together {
				count := min(together, last-image)
				lists.begin()
				for o := range s.out {
					for k := range count {
						lists.add(dy[(((image+k)*s.groups+g)*s.out+o)*s.outSize:], 1, k*s.image(), s.first)
					}
					lists.end()
				}
				for k := range count {
					at := (image+k)*s.groups + g
					channelsLast(s, x[at*s.in*s.inSize:][:s.in*s.inSize], (*images)[k*s.image():])
				}
				for r, base := range s.bases {
					strips(s.run, func(at, width int) {
						for o := range s.out {
							if terms := lists.list(o); len(terms) > 0 {
								addTerms(sum[r*row+o*s.padded+at:][:width], terms, (*images)[base+at:], 1)
							}
						}
					})
				}
			}
		}
	})
	for g := range s.groups {
		for o := range s.out {
			dst := dw[(g*s.out+o)*s.rows:][:s.rows]
			s.tapRows(func(r, tap, at, count int) {
				for t := range count {
					var total T
					for share := range shares {
						total += (*sums)[(share*s.groups+g)*group+r*row+o*s.padded+at+t*s.in]
					}
					dst[tap+t] = total
				}
			})
		}
	}
}

// termLists are lists of terms, one behind the other, made in order.
type termLists[T Float] struct {
	starts *[]int
	all    *[]term[T]
	lists  int // that are finished
	used   int // of all
}

// newTermLists returns room for so many lists of so many terms together.
func newTermLists[T Float](lists, terms int) *termLists[T] {
	return &termLists[T]{
		starts: borrow[int](lists + 1),
		all:    borrow[term[T]](terms + 1), // a zero behind the last is written, but not kept
	}
}

func (l *termLists[T]) giveBack() {
	giveBack(l.starts)
	giveBack(l.all)
}

// begin drops all lists and begins the first.
func (l *termLists[T]) begin() { l.lists, l.used, (*l.starts)[0] = 0, 0, 0 }

// add appends the non-zeros of v to the list that is being made: one element of v
// for each of offsets, step apart, with that offset from base.
func (l *termLists[T]) add(v []T, step, base int, offsets []int) {
	all, used := *l.all, l.used
	for i, offset := range offsets {
		factor := v[i*step]
		all[used] = term[T]{uint32(base + offset), factor}
		used += nonZero(factor)
	}
	l.used = used
}

// end finishes a list and begins the next.
func (l *termLists[T]) end() {
	l.lists++
	(*l.starts)[l.lists] = l.used
}

func (l *termLists[T]) list(i int) []term[T] { return (*l.all)[(*l.starts)[i]:(*l.starts)[i+1]] }
