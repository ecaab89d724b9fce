package affine

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

func TestCosine(t *testing.T) {
	for _, period := range []int64{4, 8, 12, 100, 4 * 4099, 4 << 20} {
		for n := int64(0); n < 3*period; n += 1 + period/1500 {
			if got, want := cosine(n, period), math.Cos(2*math.Pi*float64(n%period)/float64(period)); math.Abs(got-want) > 1e-15 {
				t.Fatalf("cos 2π·%d/%d: %v, want %v", n, period, got, want)
			}
		}
	}
}

// What WriteOrthonormal writes follows from the name alone, and its rows are orthonormal
// to the rounding of float32: n products of entries near 1/√n, each of which is off by
// 2⁻²⁴ of itself, are off by no more than 2⁻²³ in all.
func TestWriteOrthonormal(t *testing.T) {
	matrix := func(name string, rows, cols int) ([]byte, [][]float64) {
		var b bytes.Buffer
		if err := WriteOrthonormal(&b, name, rows, cols); err != nil {
			t.Fatal(err)
		}
		if b.Len() != 4*rows*cols {
			t.Fatalf("%d×%d: %d bytes", rows, cols, b.Len())
		}
		v := make([][]float64, rows)
		for r := range v {
			v[r] = make([]float64, cols)
			for c := range v[r] {
				v[r][c] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b.Bytes()[4*(r*cols+c):])))
			}
		}
		return b.Bytes(), v
	}
	for _, size := range [][2]int{{1, 1}, {2, 2}, {3, 7}, {32, 33}, {16, 784}, {64, 64}, {5, 30011}} {
		text, v := matrix("layer", size[0], size[1])
		for i, a := range v {
			for j, b := range v[:i+1] {
				sum, want := 0.0, 0.0
				for c := range a {
					sum += a[c] * b[c]
				}
				if i == j {
					want = 1
				}
				if math.Abs(sum-want) > 2.0/(1<<23) {
					t.Errorf("%v: rows %d and %d: product %v", size, i, j, sum)
				}
			}
		}
		if again, _ := matrix("layer", size[0], size[1]); !bytes.Equal(text, again) {
			t.Errorf("%v: another matrix the second time", size)
		}
		if other, _ := matrix("another layer", size[0], size[1]); size[1] > 2 && bytes.Equal(text, other) {
			t.Errorf("%v: two layers have one matrix", size)
		}
	}
}
