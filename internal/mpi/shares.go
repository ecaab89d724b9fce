package mpi

import (
	"cmp"
	"slices"
)

// Shares deals tasks out to so many ranks and returns which rank each is for: the one that
// costs most first, each to the rank that has the least to do.
func Shares(costs []int64, ranks int) []int {
	order := make([]int, len(costs))
	for task := range order {
		order[task] = task
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(costs[b], costs[a]) })
	shares, load := make([]int, len(costs)), make([]int64, ranks)
	for _, task := range order {
		rank := slices.Index(load, slices.Min(load))
		shares[task] = rank
		load[rank] += costs[task]
	}
	return shares
}
