package affine

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

// A table that follows from taps is none that a product wrote out, whatever the numbers.
func TestTableKeyHasItsKind(t *testing.T) {
	m := &Map{
		Groups: 1, InChannels: 1, OutChannels: 1,
		Taps: NewTaps([]Axis{{In: 2, Coefs: 1, Taps: [][]Tap{{{In: 0}}, {{In: 1}}}}}),
	}
	// What the key of m is made of: channels, taps, and of the axis its length, its
	// positions and their taps.
	of := []int32{1, 0, 2, 0, 2, 0, 1, 0, 0, 0, 1, 0, 1, 0}
	p := &productLocal{LocalShape: LocalShape{Positions: 1}, seen: of}
	a, _ := m.Local().TableKey()
	b, ok := p.TableKey()
	if !ok || a == b {
		t.Errorf("the keys of two tables are %x and %x", a, b)
	}
}

// TestWriteWeightsRepeat: a block that is not made again is the one that its position and group have,
// where blocks repeat within a chunk and from one chunk to a later one.
func TestWriteWeightsRepeat(t *testing.T) {
	const positions, channels = 300, 32 // of each of two groups
	axis := Axis{In: positions, Coefs: 3}
	for p := range int32(positions) {
		var taps []Tap
		for k := range int32(3) {
			if q := p + k - 1; q >= 0 && q < positions && p%50 != k { // some positions see less than others
				taps = append(taps, Tap{In: q, Coef: k})
			}
		}
		axis.Taps = append(axis.Taps, taps)
	}
	m := &Map{
		Groups: 2, InChannels: 2 * channels, OutChannels: 2 * channels, Taps: NewTaps([]Axis{axis}),
		Kernel: make([]float32, 2*channels*channels*3),
	}
	for i := range m.Kernel {
		m.Kernel[i] = float32(i + 1)
	}
	var want, got bytes.Buffer
	for i := range 2 * positions * channels * channels * 3 {
		j, c, o, p, g := i%3, i/3%channels, i/3/channels%channels, i/3/channels/channels%positions,
			i/3/channels/channels/positions
		v := float32(0)
		if taps := axis.Taps[p]; j < len(taps) {
			v = m.Kernel[((g*channels+o)*channels+c)*3+int(taps[j].Coef)]
		}
		want.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
	}
	if err := m.Local().WriteWeights(&got); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("the weights differ (%v)", err)
	}
}
