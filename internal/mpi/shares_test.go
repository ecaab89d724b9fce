package mpi

import (
	"slices"
	"testing"
)

func TestShares(t *testing.T) {
	for _, c := range []struct {
		costs []int64
		ranks int
		want  []int
	}{
		{nil, 2, []int{}},
		{[]int64{5, 5, 5}, 1, []int{0, 0, 0}},
		{[]int64{1, 9, 4, 4}, 2, []int{1, 0, 1, 1}},
		{[]int64{3, 3}, 4, []int{0, 1}},
		{[]int64{2, 0, 0, 7}, 2, []int{1, 1, 1, 0}},
	} {
		if got := Shares(c.costs, c.ranks); !slices.Equal(got, c.want) {
			t.Errorf("%v to %d ranks: %v, want %v", c.costs, c.ranks, got, c.want)
		}
	}
}
