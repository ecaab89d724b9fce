package arrays

import (
	"fmt"
	"math"
	"slices"

	"efcn/onnxio"
)

// The tolerance of ONNX's own backend tests (onnx.backend.test, version 1.23):
// |got − want| ≤ TestATol + TestRTol·|want|.
const (
	TestRTol = 1e-3
	TestATol = 1e-7
)

// Difference is how far an output is from the expected one.
type Difference struct {
	Name string // of the output
	// Got and Want are the shapes. Nothing else is compared where they differ.
	Got, Want []int64
	Elements  int
	Max       float64 // largest |difference|; 0 for equal infinities and for two NaN
	Over      int     // elements past the tolerance
}

// Equal reports whether the output has the expected shape, and every element is
// within the tolerance.
func (d Difference) Equal() bool { return slices.Equal(d.Got, d.Want) && d.Over == 0 }

func (d Difference) String() string {
	if !slices.Equal(d.Got, d.Want) {
		return fmt.Sprintf("output %q: shape %v, expected %v", d.Name, d.Got, d.Want)
	}
	return fmt.Sprintf("output %q: at most %.3g from the expected one, %d of %d elements past the tolerance",
		d.Name, d.Max, d.Over, d.Elements)
}

// Compare compares outputs with the expected ones by position, as ONNX test data
// has them, within TestATol and TestRTol. There may be fewer expected outputs than
// outputs; more of them are an error.
func Compare(got, want []*onnxio.Tensor) ([]Difference, error) {
	if len(want) > len(got) {
		return nil, fmt.Errorf("%d outputs are expected, the model has %d", len(want), len(got))
	}
	all := make([]Difference, len(want))
	for i := range want {
		d, err := compare(got[i], want[i])
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", got[i].Name, err)
		}
		all[i] = d
	}
	return all, nil
}

func compare(got, want *onnxio.Tensor) (Difference, error) {
	d := Difference{Name: got.Name, Got: got.Dims, Want: want.Dims}
	if !slices.Equal(got.Dims, want.Dims) {
		return d, nil
	}
	g, err := Numbers(got)
	if err != nil {
		return d, err
	}
	w, err := Numbers(want)
	if err != nil {
		return d, fmt.Errorf("expected: %w", err)
	}
	d.Elements = len(g)
	for i := range g {
		if g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]) {
			continue // equal infinities too
		}
		distance := math.Abs(g[i] - w[i])
		// An infinity is within no tolerance of anything else, as a NaN is not.
		if math.IsInf(distance, 0) || !(distance <= TestATol+TestRTol*math.Abs(w[i])) {
			d.Over++
		}
		d.Max = max(d.Max, distance)
	}
	return d, nil
}
