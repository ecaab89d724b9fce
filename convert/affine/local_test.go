package affine

import "testing"

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
