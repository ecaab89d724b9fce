package finetune

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"efcn/convert/cut"
	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// cutTrainee is the trainee of a model of which a rank has slices, along the first axis or
// the second by turns; of all of it where w is nil. Each number of the optimiser's state is
// another.
func cutTrainee(t *testing.T, m *onnxio.Model, w *mpi.World, states int) *trainee[float32] {
	t.Helper()
	tr, err := newTrainee[float32](m, "*")
	if err == nil {
		_, err = tr.network(2, true)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	if w != nil {
		tr.gather = &gatherer[float32]{world: w, whole: tr.folded, part: map[string]cut.Slice{}, own: tr.own, chunk: 64}
	}
	turn := 0
	for i, p := range tr.params {
		p.grow(states)
		for list, s := range p.state {
			for k := range s {
				s[k] = float32(1000*i+100*list) + float32(k)/16
			}
		}
		dims := toInts(tr.initializers[p.name].Dims)
		if w == nil || len(p.values) < 8 {
			continue
		}
		s := cutEvenly(1, dims[0], len(p.values)/dims[0], w.Size())
		if turn++; turn%2 == 0 && len(dims) > 1 {
			s = cutEvenly(dims[0], dims[1], len(p.values)/dims[0]/dims[1], w.Size())
		}
		s = s.Of(w.Rank())
		tr.gather.part[p.name] = s
		p.values = sliceOf(p.values, s)
		for list := range p.state {
			p.state[list] = sliceOf(p.state[list], s)
		}
	}
	return tr
}

// cutModels are what the files of a run on several ranks are compared for.
func cutModels(t *testing.T) map[string]*onnxio.Model {
	return map[string]*onnxio.Model{
		"cnn":      toyModel(),
		"dense":    embed(t, toyModel()),
		"local":    embedAs(t, toyModel(), record.Local),
		"sparse":   embedAs(t, groupedModel(), record.Sparse),
		"factored": embedAs(t, toyModel(), record.Factored),
	}
}

// A checkpoint and a model that several ranks write are those of one rank, byte for
// byte, and a checkpoint is read on any number of ranks.
func TestFilesOfRanks(t *testing.T) {
	const states = 2
	for name, m := range cutModels(t) {
		t.Run(name, func(t *testing.T) {
			alone := cutTrainee(t, m, nil, states)
			dir := t.TempDir()
			path := filepath.Join(dir, checkpointName)
			at := progress{Epoch: 3, Samples: 20, Steps: 7, Loss: 0.1}
			if err := saveCheckpoint(dir, identity{Model: "m"}, at, alone.arrays(states)); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			exported, err := alone.export(m)
			if err != nil {
				t.Fatal(err)
			}
			model := encoded(t, exported)
			for _, ranks := range []int{1, 2, 4} {
				errs := eachRank(t, ranks, func(w *mpi.World) error {
					return filesOfRank(t, m, w, path, want, model, at)
				})
				if err := errors.Join(errs...); err != nil {
					t.Errorf("%d ranks: %v", ranks, err)
				}
			}
		})
	}
}

// filesOfRank reads the checkpoint want, which is at path, compares what this rank has of
// it, and writes it and the model again.
func filesOfRank(t *testing.T, m *onnxio.Model, w *mpi.World, path string, want, model []byte, at progress) error {
	const states = 2
	tr := cutTrainee(t, m, w, states)
	arrays := tr.arrays(states)
	if len(tr.gather.part) == 0 {
		return errors.New("nothing is cut")
	}
	var held [][]float32
	for _, a := range arrays {
		held = append(held, append([]float32{}, a.values...))
		clear(a.values)
	}
	got, saved, err := loadCheckpoint(t.Context(), w, filepath.Dir(path), identity{Model: "m", Ranks: w.Size()}, arrays)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(at) || saved.Model != "m" {
		return fmt.Errorf("%+v of %+v, %w", got, saved, err)
	}
	for i, a := range arrays {
		for k, v := range held[i] {
			if a.values[k] != v {
				return fmt.Errorf("%s: element %d is %v, want %v", a.what(), k, a.values[k], v)
			}
		}
	}
	var written bytes.Buffer
	err = tr.gather.atRoot(t.Context(), func() error {
		return writeCheckpoint(&written, identity{Model: "m"}, at, arrays)
	})
	if err != nil || w.Rank() == 0 && !bytes.Equal(written.Bytes(), want) {
		return fmt.Errorf("it writes another checkpoint (%w)", err)
	}
	whole, err := tr.export(m)
	if err != nil {
		return err
	}
	written.Reset()
	err = AtRoot(t.Context(), w, whole, func() error {
		_, err := onnxio.WriteTo(&written, whole)
		return err
	})
	if err != nil || w.Rank() == 0 && !bytes.Equal(written.Bytes(), model) {
		return fmt.Errorf("it writes another model (%w)", err)
	}
	return nil
}

// A checkpoint that is damaged, in whichever array, or missing, on whichever rank, is
// refused on all ranks, and nothing hangs.
func TestRanksRefuseCheckpoint(t *testing.T) {
	const states, ranks = 1, 4
	m := embed(t, toyModel())
	dir := t.TempDir()
	path := filepath.Join(dir, checkpointName)
	if err := saveCheckpoint(dir, identity{}, progress{Epoch: 1}, cutTrainee(t, m, nil, states).arrays(states)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	refused := func(what, want string, folder func(rank int) string, id identity) {
		t.Helper()
		errs := eachRank(t, ranks, func(w *mpi.World) error {
			_, _, err := loadCheckpoint(t.Context(), w, folder(w.Rank()), id, cutTrainee(t, m, w, states).arrays(states))
			return err
		})
		for rank, err := range errs {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: rank %d: %v, want %s", what, rank, err, want)
			}
		}
		damaged++
	}
	here := func(int) string { return dir }
	for at := len(checkpointMagic) + 8; at < len(whole); at += 1 + len(whole)/40 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 0x10
		for _, b := range [][]byte{flipped, whole[:at]} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(fmt.Sprintf("byte %d", at), "the checkpoint is broken: ", here, identity{})
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("another model", "it is of another model", here, identity{Model: "other"})
	refused("no file", "no such file", func(rank int) string { return fmt.Sprint(dir, []string{"", "/none"}[rank/3]) },
		identity{})
	other := t.TempDir()
	err = saveCheckpoint(other, identity{}, progress{Epoch: 2}, cutTrainee(t, m, nil, states).arrays(states))
	if err != nil {
		t.Fatal(err)
	}
	refused("another run on one rank", "rank 2 has another checkpoint than rank 0",
		func(rank int) string { return []string{dir, other}[rank/2] }, identity{})
	if damaged < 70 {
		t.Errorf("%d cases", damaged)
	}
}

// Ranks that were given other things than rank 0 find out.
func TestSameRun(t *testing.T) {
	o := Options{Batch: 10}
	for what, c := range map[string]struct {
		change func(m *onnxio.Model, set *data.Set, o *Options) (*onnxio.Model, *data.Set)
		want   string
	}{
		"nothing": {func(m *onnxio.Model, set *data.Set, _ *Options) (*onnxio.Model, *data.Set) { return m, set }, ""},
		"a weight": {func(m *onnxio.Model, set *data.Set, _ *Options) (*onnxio.Model, *data.Set) {
			w := *m.Graph.Initializers[0]
			m = m.Clone()
			w.Data = onnxio.NewTensor(w.Name, w.Dims, make([]float32, w.Data.Len()/4)).Data
			m.Graph.Initializers[0] = &w
			return m, set
		}, "rank 2 has another model than rank 0"},
		"a sample": {func(m *onnxio.Model, _ *data.Set, _ *Options) (*onnxio.Model, *data.Set) {
			return m, toySet(30, 2)
		}, "rank 2 has another training set than rank 0"},
		"the batch": {func(m *onnxio.Model, set *data.Set, o *Options) (*onnxio.Model, *data.Set) {
			o.Batch = 9
			return m, set
		}, "rank 2 has another set of options than rank 0"},
	} {
		for rank, err := range eachRank(t, 3, func(w *mpi.World) error {
			m, set, o := toyModel(), toySet(30, 1), o
			if w.Rank() == 2 {
				m, set = c.change(m, set, &o)
			}
			return sameRun(t.Context(), w, m, set, nil, o)
		}) {
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: rank %d: %v, want %s", what, rank, err, c.want)
			}
		}
	}
	const want = "rank 2 has another test set than rank 0"
	test := toySet(20, 3)
	for what, last := range map[string]*data.Set{"the same": toySet(20, 3), "a sample": toySet(20, 4), "none": nil} {
		for rank, err := range eachRank(t, 3, func(w *mpi.World) error {
			test := test
			if w.Rank() == 2 {
				test = last
			}
			return sameRun(t.Context(), w, toyModel(), toySet(30, 1), test, o)
		}) {
			if (err == nil) != (what == "the same") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("test set, %s: rank %d: %v, want %s", what, rank, err, want)
			}
		}
	}
}
