package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTable: at any width every cell is there, and no line is wider, unless two columns
// are.
func TestTable(t *testing.T) {
	header := []string{"node", "op", ">matrix", ">density", "layout"}
	rows := [][]string{
		{"/conv1/Conv", "Conv", "784 x 784", "1.09 %", "dense"},
		{"/a/much/longer/name/Conv", "Conv", "392 x 784", "4.16 %", "factored 32"},
	}
	for _, width := range []int{0, 200, 65, 60, 45, 40} {
		var b strings.Builder
		printTableIn(&b, width, header, rows)
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 0 && n > width {
				t.Errorf("width %d: %q has %d characters", width, line, n)
			}
		}
		for _, row := range append(rows, header) {
			for _, cell := range row {
				if !strings.Contains(b.String(), strings.TrimPrefix(cell, ">")) {
					t.Errorf("width %d lacks %q:\n%s", width, cell, b.String())
				}
			}
		}
	}
	var b strings.Builder
	printTableIn(&b, 46, header, rows)
	want := `node                      op       matrix
/conv1/Conv               Conv  784 x 784
/a/much/longer/name/Conv  Conv  392 x 784

node                      density  layout
/conv1/Conv                1.09 %  dense
/a/much/longer/name/Conv   4.16 %  factored 32
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}

	// A long last column is wrapped.
	b.Reset()
	printTableIn(&b, 40, []string{"node", "why"}, [][]string{{"/a", "it has to be kept, as the shape of its input is open"}})
	want = "node  why\n/a    it has to be kept, as the shape of\n      its input is open\n"
	if b.String() != want {
		t.Errorf("%q\nwant\n%q", b.String(), want)
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		widths []int
		width  int
		want   [][]int
	}{
		{[]int{5, 5, 5}, 19, [][]int{{0, 1, 2}}},
		{[]int{5, 5, 5}, 18, [][]int{{0, 1}, {0, 2}}},
		{[]int{5, 50, 5, 5}, 19, [][]int{{0, 1}, {0, 2, 3}}},
		{[]int{50, 5, 5}, 19, [][]int{{0, 1}, {0, 2}}},
		{[]int{50}, 19, [][]int{{0}}},
	} {
		if got := fold(c.widths, c.width); !slices.EqualFunc(got, c.want, slices.Equal[[]int]) {
			t.Errorf("%v in %d: %v; want %v", c.widths, c.width, got, c.want)
		}
	}
}
