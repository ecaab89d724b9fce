package data_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"efcn/finetune/data"
	"efcn/onnxio"
)

// squares writes n grey images of 5×7 pixels, of which pixel i of the first is
// i² mod 23, and the others continue the series.
func squares(t *testing.T, n int) {
	t.Helper()
	x := make([]float32, n*35)
	for i := range x {
		x[i] = float32(i * i % 23)
	}
	y := ints(t, "y", onnxio.Int64, []int64{int64(n)}, make([]int64, n)...)
	write(t, ".", "squares.npz", npzBytes(t, onnxio.NewTensor("x", []int64{int64(n), 1, 5, 7}, x), y))
}

// TestResize compares with what Pillow 12 makes of the same image, in floating
// point with its filter BILINEAR.
func TestResize(t *testing.T) {
	t.Chdir(t.TempDir())
	squares(t, 1)
	for _, c := range []struct {
		size string
		want []float32
	}{
		{"3x4", []float32{
			4.578231334686279, 7.920000076293945, 9.234285354614258, 7.836734771728516, 10.608466148376465,
			7.680000305175781, 6.760000228881836, 10.809523582458496, 4.945578098297119, 5.462857246398926, 9.142857551574707,
			9.408163070678711,
		}},
		{"5x3", []float32{
			1.2857142686843872, 8.588234901428223, 8.928571701049805, 11.357142448425293, 8.941176414489746,
			6.714285850524902, 12.642857551574707, 8.529411315917969, 10.5, 1.8571428060531616, 1.941176414489746,
			10.428571701049805, 6.9285712242126465, 12.176470756530762, 8.142857551574707,
		}},
		{"2x14", []float32{
			4.136363506317139, 6.056818008422852, 9.897727012634277, 10.579545974731445, 8.102272987365723,
			7.43181848526001, 8.568181991577148, 8.897727966308594, 8.420454025268555, 7.920454502105713, 7.397727012634277,
			7.897727012634277, 9.420454025268555, 10.181818008422852, 5.136363506317139, 6.215909004211426, 8.375,
			7.636363506317139, 4.0, 4.0, 7.636363506317139, 8.63636302947998, 7.0, 7.170454502105713, 9.147727966308594,
			10.318181991577148, 10.681818008422852, 10.863636016845703,
		}},
		// Whole factors: means over seven columns, over all.
		{"5x1", []float32{45. / 7, 61. / 7, 73. / 7, 35. / 7, 62. / 7}},
		{"1x1", []float32{276. / 35}},
	} {
		s, err := data.Open(t.Context(), "npz:squares.npz?resize="+c.size)
		if err != nil {
			t.Errorf("%s: %v", c.size, err)
			continue
		}
		if got := fmt.Sprintf("%dx%d", s.Shape[1], s.Shape[2]); got != c.size {
			t.Errorf("%s: got %s", c.size, got)
		}
		// Pillow rounds to float32 after each axis and keeps weights in float64.
		near := func(a, b float32) bool { return math.Abs(float64(a-b)) <= 3*23*0x1p-24 }
		if !slices.EqualFunc(s.X, c.want, near) {
			t.Errorf("%s: got %v, want %v", c.size, s.X, c.want)
		}
	}
}

// TestShift pins the offsets, which are promised, and compares with slices.
func TestShift(t *testing.T) {
	t.Chdir(t.TempDir())
	squares(t, 4)
	plain, err := data.Open(t.Context(), "npz:squares.npz")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options string
		offsets [][2]int
	}{
		{"shift=0", [][2]int{{0, 0}, {0, 0}, {0, 0}, {0, 0}}},
		{"shift=4", [][2]int{{-2, 2}, {-3, -4}, {1, 2}, {1, 2}}},
		{"shift=2&shift-seed=7", [][2]int{{-1, -1}, {1, 2}, {1, 2}, {2, 2}}},
		{"shift=2&shift-seed=7&limit=2", [][2]int{{-1, -1}, {1, 2}}},
	} {
		s, err := data.Open(t.Context(), "npz:squares.npz?"+c.options)
		if err != nil {
			t.Fatal(err)
		}
		var want []float32
		for i, o := range c.offsets {
			for y := range 5 {
				for x := range 7 {
					v := float32(0)
					if from := [2]int{y - o[0], x - o[1]}; from[0] >= 0 && from[0] < 5 && from[1] >= 0 && from[1] < 7 {
						v = plain.X[i*35+from[0]*7+from[1]]
					}
					want = append(want, v)
				}
			}
		}
		if !slices.Equal(s.X, want) {
			t.Errorf("%s: got %v, want %v", c.options, s.X, want)
		}
	}
}

// TestTransformOrder shifts in the pixels of the file, then resizes, then
// normalises, in either layout.
func TestTransformOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	x := []float32{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0} // one bright pixel, which moves up by 1 and right by 1
	y := ints(t, "y", onnxio.Int64, []int64{1}, 0)
	write(t, ".", "chw.npz", npzBytes(t, onnxio.NewTensor("x", []int64{1, 1, 4, 4}, x), y))
	write(t, ".", "hwc.npz", npzBytes(t, onnxio.NewTensor("x", []int64{1, 4, 4, 1}, x), y))
	for _, file := range []string{"chw.npz?", "hwc.npz?layout=nhwc&"} {
		s, err := data.Open(t.Context(), "npz:"+file+"shift=1&resize=2x2&normalize=1/2")
		if err != nil {
			t.Fatal(err)
		}
		if want := []float32{-0.5, 0.5, -0.5, -0.5}; !slices.Equal(s.X, want) {
			t.Errorf("%s: got %v, want %v", file, s.X, want)
		}
		auto, err := data.Open(t.Context(), "npz:"+file+"shift=1&resize=2x2&normalize=auto")
		if err != nil {
			t.Fatal(err)
		}
		if auto.Mean[0] != 0.5 || auto.Std[0] != math.Sqrt(0.75) {
			t.Errorf("%s: mean %v, deviation %v; want 0.5, √0.75", file, auto.Mean, auto.Std)
		}
	}
}
