package finetune

import (
	"errors"
	"math"
	"testing"

	"efcn/convert/record"
	"efcn/internal/cuda"
	"efcn/onnxio"
)

// testDeviceObjective: loss and gradient on a device are those of the processor within the
// rounding of float32, also once the weights have moved.
func testDeviceObjective(t *testing.T, d *cuda.Device) {
	const batch, tolerance = 10, 1000 * 0x1p-24 // sums of at most 1000 terms
	set := toySet(30, 3)
	samples := []int{3, 1, 29, 4, 15, 9, 2, 6, 5, 8}
	for name, m := range map[string]*onnxio.Model{
		"cnn": toyModel(), "dense": embedAs(t, groupedModel(), record.Dense),
		"factored": embedAs(t, groupedModel(), record.Factored),
	} {
		t.Run(name, func(t *testing.T) {
			here, err := NewObjective(t.Context(), nil, m, set, batch)
			if err != nil {
				t.Fatal(err)
			}
			there, err := NewObjective(t.Context(), d, m, set, batch)
			if err != nil {
				t.Fatal(err)
			}
			for step := range 3 {
				want, gradient, err := here.Gradient(samples)
				got, gradientThere, errThere := there.Gradient(samples)
				if err := errors.Join(err, errThere); err != nil {
					t.Fatal(err)
				}
				if !(math.Abs(got-want) <= tolerance*want) {
					t.Errorf("step %d: loss %v on the device, %v here", step, got, want)
				}
				for i, w := range here.Weights() {
					size := 0.0
					for _, v := range gradient[i] {
						size = max(size, math.Abs(float64(v)))
					}
					for k, v := range gradient[i] {
						if !(math.Abs(float64(gradientThere[i][k])-float64(v)) <= tolerance*max(size, 1e-3)) {
							t.Fatalf("step %d: gradient %d of %s is %v on the device, %v here", step, k, here.Names()[i],
								gradientThere[i][k], v)
						}
						w[k] -= 0.05 * v
					}
					copy(there.Weights()[i], w)
				}
			}
			there.Weights()[0][0] = float32(math.NaN())
			if _, _, err := there.Gradient(samples); !errors.Is(err, ErrNotFinite) {
				t.Errorf("a weight that is no number: %v", err)
			}
			if err := errors.Join(here.Close(), there.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}
