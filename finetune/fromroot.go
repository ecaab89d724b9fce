package finetune

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"efcn/finetune/data"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// What the ranks of a run agree on besides what they compute together. A World that is nil
// is that of a run of one rank.

// fromRoot returns on all ranks what f returns on rank 0.
func fromRoot[V any](ctx context.Context, w *mpi.World, f func() (V, error)) (v V, err error) {
	if w == nil {
		return f()
	}
	var text []byte
	if w.Rank() == 0 {
		if v, err = f(); err == nil {
			text, err = json.Marshal(v)
		}
	}
	if err := agree(ctx, w, err); err != nil {
		return v, err
	}
	all, err := w.AllgatherBytes(context.WithoutCancel(ctx), text)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(all[0], &v)
}

// sameOnAll returns an error on all ranks if one has one, or another thing than rank 0.
func sameOnAll(ctx context.Context, w *mpi.World, err error, what string, thing any) error {
	if err := agree(ctx, w, err); err != nil || w == nil {
		return err
	}
	text, err := json.Marshal(thing)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(text)
	rank, _, _, err := w.Different(context.WithoutCancel(ctx), digest[:])
	if err == nil && rank > 0 {
		err = fmt.Errorf("rank %d has another %s than rank 0; all need the same", rank, what)
	}
	return err
}

// sameRun returns an error on all ranks unless all were given the same run; test may be
// nil. Of the model it compares the nodes and the beginning of each tensor, which training
// changes like the rest.
func sameRun(ctx context.Context, w *mpi.World, m *onnxio.Model, train, test *data.Set, o Options) error {
	if w == nil {
		return nil
	}
	const most = 64 << 10
	id, err := identify(m, train, o, w, most)
	testHash := ""
	if test != nil {
		testHash = test.Hash()
	}
	for _, c := range []struct {
		what  string
		value any
	}{
		{"model", id.Model},
		{"training set", id.Data},
		{"test set", testHash},
		{"set of options", id.Options},
		{"number of threads", id.Threads},
		{"kind of device", id.Device},
		{"number of groups", id.Groups},
	} {
		if err := sameOnAll(ctx, w, err, c.what, c.value); err != nil {
			return err
		}
	}
	return nil
}
