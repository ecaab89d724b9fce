package chart

import (
	"math"
	"strconv"
	"strings"
)

// axis maps values between low and high to pixels between from and to.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from)
}

// widen returns a range that shows values between low and high with room at both ends,
// and a range around them where they are one value. It does not go below 0 unless a
// value does.
func widen(low, high float64) (float64, float64) {
	room := 0.07 * (high - low)
	if low == high {
		room = max(0.1*math.Abs(low), 1e-9)
		if low == 0 {
			return 0, 1
		}
	}
	from, to := low-room, high+room
	if low >= 0 && from < 0.25*(high-low) && low < 0.35*high {
		from = 0 // close to 0, the axis begins there
	}
	if low >= 0 {
		from = max(from, 0)
	}
	return from, to
}

// ticks returns round numbers from low to high, about as many as wanted, with how they
// are written. whole asks for whole numbers.
func ticks(low, high float64, want int, whole bool) []Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(want))))
	for _, by := range []float64{1, 2, 5, 10} {
		if (high-low)/(by*step) <= float64(want)+1.5 {
			step *= by
			break
		}
	}
	if whole {
		step = max(1, math.Round(step))
	}
	var all []Tick
	for i := math.Ceil(low/step - 1e-9); i*step <= high+1e-9*step; i++ {
		all = append(all, Tick{i * step, label(i*step, step)})
	}
	return all
}

// label writes a multiple of a step with the digits that tell it from its neighbours.
func label(v, step float64) string {
	if math.Abs(v) < step/2 {
		return "0"
	}
	if step < 1e-4 || math.Abs(v) >= 1e7 {
		return strings.Replace(strconv.FormatFloat(v, 'g', 3, 64), "-", "−", 1)
	}
	return Number(v, max(0, -int(math.Floor(math.Log10(step)+1e-9))))
}

// Number writes a number with so many decimals, a comma after every three digits of the
// whole part, and a minus sign of the width of a digit.
func Number(v float64, decimals int) string {
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(math.Abs(v), 'f', decimals, 64), ".")
	if !finite(v) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	var b strings.Builder
	if v < 0 && strings.Trim(whole+fraction, "0") != "" {
		b.WriteString("−")
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	return b.String()
}
