package kernel

// A plane of a depthwise convolution is summed in one go. The padded input is
// cut into phases, one for each remainder of the positions by the stride: in
// these, what a tap reads for neighbouring outputs lies side by side, whatever
// the stride. With all phases and the output at the same line length, a tap
// reads a stretch as long as the whole output plane at a fixed offset, and the
// elements between the lines are computed along and left out at the end.

// phases is that geometry.
type phases struct {
	height, width int   // of one phase
	rows, cols    []int // remainders that some tap has
	offsets       []int // where in the phases each tap reads
	flat, scratch int   // elements computed, and held
}

// maxPhases bounds the elements that phases hold, in multiples of those of input and
// output: far more would be mostly padding.
const maxPhases = 4

// phased reports whether the layer's planes are summed by phases: those of two
// axes, unless padding or dilation are out of proportion.
func (l *layer) phased() bool {
	if l.volume.in[0] != 1 || l.kernel[0] != 1 || l.volume.out[0] != 1 || l.pad[0] != 0 {
		return false
	}
	budget := maxPhases*(l.inSize+l.outSize) + 1<<12
	for a := 1; a < 3; a++ {
		if l.volume.out[a] > budget || l.kernel[a] > budget || l.dilation[a] > budget ||
			(l.kernel[a]-1)*l.dilation[a] > budget {
			return false
		}
	}
	h, w := l.phaseSize(1), l.phaseSize(2)
	return h <= budget && w <= budget && h*w <= budget &&
		h*w*min(l.stride[1], l.kernel[1])*min(l.stride[2], l.kernel[2]) <= budget
}

// phaseSize is how many positions of a phase along an axis are read.
func (l *layer) phaseSize(a int) int {
	return l.volume.out[a] + (l.kernel[a]-1)*l.dilation[a]/l.stride[a]
}

func (l *layer) phases() phases {
	p := phases{height: l.phaseSize(1), width: l.phaseSize(2)}
	var index [2][]int // of each tap's phase, by axis
	for a, remainders := range []*[]int{&p.rows, &p.cols} {
		at := map[int]int{}
		for t := range l.kernel[a+1] {
			r := t * l.dilation[a+1] % l.stride[a+1]
			if _, ok := at[r]; !ok {
				at[r] = len(*remainders)
				*remainders = append(*remainders, r)
			}
			index[a] = append(index[a], at[r])
		}
	}
	for t, row := range index[0] {
		for u, col := range index[1] {
			phase := row*len(p.cols) + col
			down, right := t*l.dilation[1]/l.stride[1], u*l.dilation[2]/l.stride[2]
			p.offsets = append(p.offsets, (phase*p.height+down)*p.width+right)
		}
	}
	p.flat = roundUp(l.volume.out[1]*p.width, tapLanes)
	p.scratch = len(p.rows)*len(p.cols)*p.height*p.width + p.flat - l.volume.out[1]*p.width + p.width
	return p
}

// split writes the phases of a plane.
func split[T Float](l *layer, p *phases, plane, dst []T) {
	height, width := l.volume.in[1], l.volume.in[2]
	for _, r := range p.rows {
		for _, c := range p.cols {
			// Column j of the phase is column j·stride + c − pad of the plane.
			stride, first := l.stride[2], c-l.pad[2]
			lo := min(max(0, ceilDiv(-first, stride)), p.width)
			hi := max(lo, min(p.width, floorDiv(width-1-first, stride)+1))
			for i := range p.height {
				line := dst[:p.width]
				dst = dst[p.width:]
				from := i*l.stride[1] + r - l.pad[1]
				if from < 0 || from >= height || lo == hi {
					clear(line)
					continue
				}
				clear(line[:lo])
				clear(line[hi:])
				copyStrided(line[lo:hi], plane[from*width+first+lo*stride:], stride)
			}
		}
	}
}

// byPhases computes a convolution of one input channel a group.
func (f *forward[T]) byPhases() {
	p := f.phases()
	Parallel(f.n*f.groups, 1, func(lo, hi int) {
		in, sums := borrow[T](p.scratch), borrow[T](p.flat)
		defer giveBack(in)
		defer giveBack(sums)
		for image := lo; image < hi; image++ {
			split(f.layer, &p, f.source(image), *in)
			for o := range f.out {
				w := f.weights(image)[o*f.rows : (o+1)*f.rows]
				var bias T
				if f.bias != nil {
					bias = f.bias[image%f.groups*f.out+o]
				}
				sumTaps(*sums, *in, p.offsets, w, bias)
				at := (image*f.out + o) * f.outSize
				y := f.y[at : at+f.outSize]
				width := f.volume.out[2]
				for h := range f.volume.out[1] {
					copy(y[h*width:(h+1)*width], (*sums)[h*p.width:])
				}
				f.then.do(at, y)
			}
		}
	})
}
