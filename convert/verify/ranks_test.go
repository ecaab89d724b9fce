package verify_test

import (
	"encoding/json"
	"sync"
	"testing"

	"efcn/convert"
	"efcn/convert/record"
	"efcn/convert/verify"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// TestRanks: ranks that share out the layers find what one finds, fault by fault, and all
// have the report of the first.
func TestRanks(t *testing.T) {
	changed := 0
	all := func(base func() *onnxio.Model, list []mutation) {
		for _, c := range list {
			t.Run(c.name, func(t *testing.T) {
				cnn, efcn := mutable(), base()
				if c.cnn != nil {
					c.cnn(t, cnn)
				}
				if c.efcn != nil {
					c.efcn(t, efcn)
				}
				sameOverRanks(t, cnn, efcn, verify.Options{Samples: 4, Skip: []string{verify.Float64, verify.Float32}})
				changed++
			})
		}
	}
	dense := converted(t, mutable(), convert.Options{})
	all(dense.Clone, mutations)
	for _, c := range layoutMutations {
		m := converted(t, mutable(), convert.Options{Layout: c.layout})
		all(m.Clone, []mutation{c.mutation})
	}
	all(func() *onnxio.Model { return factoredBase(t) }, factoredMutations)
	if want := len(mutations) + len(layoutMutations) + len(factoredMutations); changed != want {
		t.Errorf("%d mutations, want %d", changed, want)
	}
	sameOverRanks(t, mutable(), dense, verify.Options{Samples: 4})
	sameOverRanks(t, mutable(), mutable(), verify.Options{Samples: 4})
	sparse := converted(t, mutable(), convert.Options{Layout: record.Sparse})
	sameOverRanks(t, mutable(), sparse, verify.Options{Samples: 4, Skip: []string{verify.Float64}})
}

// sameOverRanks compares the reports of three ranks with that of one process.
func sameOverRanks(t *testing.T, cnn, efcn *onnxio.Model, o verify.Options) {
	t.Helper()
	report := func(o verify.Options) string {
		r, err := verify.Verify(t.Context(), cnn, efcn, o)
		if err != nil {
			return err.Error()
		}
		text, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	want := report(o)
	var ranks sync.WaitGroup
	for rank, w := range mpi.Local(3) {
		ranks.Go(func() {
			own := o
			own.World = w
			if got := report(own); got != want {
				t.Errorf("rank %d reports\n%s\nwant\n%s", rank, got, want)
			}
		})
	}
	ranks.Wait()
}
