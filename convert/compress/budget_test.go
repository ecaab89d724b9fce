package compress

import (
	"errors"
	"testing"

	"efcn/convert/record"
)

// TestSparseSize: sparse layers have to fit into one file together, whatever is allowed;
// others may lie beside it.
func TestSparseSize(t *testing.T) {
	report := &Report{Layers: []Layer{
		{Layout: record.Sparse, After: 1 << 30},
		{Layout: record.Dense, After: 1 << 40},
		{Layout: record.Sparse, After: 1<<30 - 1},
	}}
	if err := report.checkSparse(); err != nil {
		t.Error(err)
	}
	report.Layers[2].After++
	if e, ok := errors.AsType[*SparseSizeError](report.checkSparse()); !ok || e.Need != 1<<31 || e.Most != 1<<31-1 {
		t.Errorf("%v", e)
	}
}
