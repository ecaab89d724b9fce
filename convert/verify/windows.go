package verify

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// windows are those of a convolution or of its transpose at all its output positions: the entry of
// output (o, p) and input (c, q) is taps(o, c)[t] where a tap t leads from p to q and c is in the
// group of o, and where a BatchNormalization is multiplied in, that times the scale of o.
type windows struct {
	*support
	groupIn, groupOut int
	taps              func(o, c int) []float32
	scale             []float64 // by output channel; nil for none
}

// channels returns which input channels the output channel o sees, from lo to before hi.
func (w *windows) channels(o int) (lo, hi int) {
	lo = o / w.groupOut * w.groupIn
	return lo, lo + w.groupIn
}

func (w *windows) entries(r int, entry func(c int, v, slack float64)) {
	o := r / w.out
	w.move(r % w.out)
	for c, hi := w.channels(o); c < hi; c++ {
		taps := w.taps(o, c)
		for _, h := range w.hits {
			entry(c*w.in+h.in, float64(taps[h.tap]), 0)
		}
	}
}

// write writes the entries of row r, as they are stored, into zeros: that of column c to
// place[c−first] of the elements of row or, without place, to element c. It returns how many they
// are, and false where there is no such place, or it is negative.
func (w *windows) write(row []byte, r int, place []int32, first int) (entries int64, ok bool) {
	o := r / w.out
	w.move(r % w.out)
	lo, hi := w.channels(o)
	for c := lo; c < hi; c++ {
		taps, from := w.taps(o, c), c*w.in-first
		if place != nil && (from < 0 || from+w.in > len(place)) {
			return 0, false
		}
		for _, h := range w.hits {
			v, at := taps[h.tap], from+h.in
			if w.scale != nil {
				v = float32(float64(v) * w.scale[o])
			}
			if place != nil {
				if at = int(place[at]); at < 0 {
					return 0, false
				}
			}
			binary.LittleEndian.PutUint32(row[4*at:], math.Float32bits(v))
		}
	}
	return int64(hi-lo) * int64(len(w.hits)), true
}

// repeats says which output positions of windows see alike: the same taps, in inputs that
// lie to each other in the same way. Of such positions the rows of one output channel
// have the same entries, in columns that differ by how far the positions' inputs are apart.
type repeats struct {
	class   []int32 // by output position
	base    []int   // by output position: the first input that it sees, axis by axis
	classes int
}

// repeats finds them axis by axis.
func (s *support) repeats() *repeats {
	r := &repeats{class: []int32{0}, base: []int{0}, classes: 1}
	for _, a := range s.axes {
		numbers := make(map[string]int32)
		class, base := make([]int32, 0, len(r.class)*a.out), make([]int, 0, len(r.class)*a.out)
		own, first := make([]int32, a.out), make([]int, a.out)
		for p := range a.out {
			var sees []byte
			lo, hi := a.reach(p)
			for q := lo; q < hi; q++ {
				t := a.tap(p, q)
				if t < 0 {
					continue
				}
				if len(sees) == 0 {
					first[p] = q
				}
				sees = binary.AppendVarint(binary.AppendVarint(sees, int64(q-first[p])), int64(t))
			}
			number, ok := numbers[string(sees)]
			if !ok {
				number = int32(len(numbers))
				numbers[string(sees)] = number
			}
			own[p] = number
		}
		for k := range r.class {
			for p := range a.out {
				class = append(class, r.class[k]*int32(len(numbers))+own[p])
				base = append(base, r.base[k]*a.in+first[p])
			}
		}
		r.class, r.base, r.classes = class, base, r.classes*len(numbers)
	}
	return r
}

// rightBytes bounds what a checker keeps of what it found right.
const rightBytes = 10 << 20

// keeps returns, by class, whether what is right of it is kept, of that many bytes each:
// of the classes that most positions are of, while rightBytes are enough.
func (r *repeats) keeps(size int) []bool {
	count := make([]int, r.classes)
	for _, k := range r.class {
		if k >= 0 {
			count[k]++
		}
	}
	order := make([]int, r.classes)
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return count[b] - count[a] })
	keeps := make([]bool, r.classes)
	for i, k := range order {
		keeps[k] = count[k] > 1 && (i+1)*size <= rightBytes
	}
	return keeps
}

// moved reports whether row is of, which is as long, moved by so many bytes to its end or, if that
// is negative, to its beginning. What moves out of it is not looked at; where nothing
// moves to there have to be zeros.
func moved(row, of []byte, by int) bool {
	if by < 0 {
		end := len(row) + by
		return allZero(row[end:]) && bytes.Equal(row[:end], of[-by:])
	}
	return allZero(row[:by]) && bytes.Equal(row[by:], of[:len(of)-by])
}

var zeros [1 << 12]byte

func allZero(b []byte) bool {
	for ; len(b) > len(zeros); b = b[len(zeros):] {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
	}
	return bytes.Equal(b, zeros[:len(b)])
}
