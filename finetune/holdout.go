package finetune

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// Holdout keeps samples of the training set out of training, and chooses by the loss on
// them after every epoch. The test set is for what is chosen, and never chooses.
type Holdout struct {
	// Share is that of the training samples, which follow from Options.Seed. 0 means a
	// tenth where something is chosen.
	Share float64
	// Best makes Train return the model of the epoch after which the loss on them was
	// least, of several the first.
	Best bool
	// Patience ends the training once that many epochs in a row have not brought a smaller
	// loss. 0 means never.
	Patience int
}

// DefaultShare is Holdout.Share where it is 0.
const DefaultShare = 0.1

func (h Holdout) validate() error {
	switch {
	case !(h.Share >= 0 && h.Share < 1):
		return fmt.Errorf("holdout: share %g; want a number from 0 to below 1", h.Share)
	case h.Patience < 0:
		return fmt.Errorf("holdout: patience %d is negative", h.Patience)
	case h.Share > 0 && !h.Best && h.Patience == 0:
		return errors.New("holdout: nothing is chosen by the samples that are held out")
	}
	return nil
}

// NoFolderError says that several ranks are to keep the best model, parts of which each of
// them has, without a folder of the run to keep it in.
type NoFolderError struct{ Ranks int }

func (e *NoFolderError) Error() string {
	return fmt.Sprintf("holdout: %d ranks keep the best model in the folder of the run, and there is none", e.Ranks)
}

// Files in the folder of a run that holds samples out: what was measured on them, and the
// best model so far.
const (
	heldName = "held-out.jsonl"
	bestName = "best.onnx"
)

// HeldOut is a line of held-out.jsonl: what the model of an epoch does on the samples that
// are held out.
type HeldOut struct {
	Epoch int `json:"epoch"`
	Metrics
}

// selection chooses among the models of the epochs of a run. What it has chosen follows
// from the lines of the epochs so far, so a run that was stopped chooses the same.
type selection struct {
	Holdout
	held  *data.Set
	batch int
	world *mpi.World          // that train the model; nil for one process
	dir   string              // of the run; "" where nothing is saved
	lines []HeldOut           // of the epochs that are over
	model *onnxio.Model       // the best so far, where dir is ""
	tell  func(e Epoch) error // of the caller; nil for none
}

// selecting parts the training set and returns what chooses by the smaller part.
func selecting(ctx context.Context, train *data.Set, o Options, tell func(Epoch) error,
) (*selection, *data.Set, error) {
	if err := agree(ctx, o.World, o.Validate()); err != nil {
		return nil, nil, err
	}
	s := &selection{Holdout: o.Holdout, batch: o.WithDefaults().Batch, world: o.World, dir: o.Checkpoint, tell: tell}
	share := s.Share
	if share == 0 {
		share = DefaultShare
	}
	n := int(math.Round(share * float64(train.N())))
	if n < 1 || n >= train.N() {
		return nil, nil, fmt.Errorf("holdout: a share of %g of %d training samples is %d; want at least one held out, and "+
			"one to train on", share, train.N(), n)
	}
	var rest *data.Set
	rest, s.held = train.Split(n, o.Seed)
	if s.dir == "" || !o.Resume {
		return s, rest, nil
	}
	var err error
	s.lines, err = fromRoot(ctx, s.world, func() ([]HeldOut, error) { return readHeldOut(s.dir) })
	return s, rest, err
}

// best is the line of the least loss up to an epoch; nil where there is none that is
// finite.
func (s *selection) best(epoch int) *HeldOut {
	var best *HeldOut
	for i := range s.lines {
		l := &s.lines[i]
		if l.Epoch <= epoch && !math.IsNaN(l.Loss) && !math.IsInf(l.Loss, 0) && (best == nil || l.Loss < best.Loss) {
			best = l
		}
	}
	return best
}

// enough reports whether the run ends after an epoch.
func (s *selection) enough(epoch int) bool {
	if s == nil || s.Patience == 0 || epoch < 1 {
		return false
	}
	since := 0 // epochs without a smaller loss
	if best := s.best(epoch); best != nil {
		since = best.Epoch
	}
	return epoch-since >= s.Patience
}

// ended measures the model after an epoch, keeps it if it is the best, and tells the
// caller.
func (s *selection) ended(ctx context.Context, e Epoch) error {
	m, err := e.Model()
	if err != nil {
		return err
	}
	held, err := e.evaluate(ctx, s.held, s.batch)
	if err != nil {
		return fmt.Errorf("held out: %w", err)
	}
	s.lines = append(s.lines[:min(e.Epoch-1, len(s.lines))], HeldOut{e.Epoch, held})
	e.Held = &held
	if best := s.best(e.Epoch); best != nil {
		e.BestEpoch = best.Epoch
	}
	if e.BestEpoch == e.Epoch && (s.Best || s.dir != "") {
		if err := s.keep(ctx, m); err != nil {
			return err
		}
	}
	if s.dir != "" {
		if err := AtRoot(ctx, s.world, m, s.write); err != nil {
			return err
		}
	}
	if s.tell != nil {
		return s.tell(e)
	}
	return nil
}

// keep keeps the best model so far.
func (s *selection) keep(ctx context.Context, m *onnxio.Model) (err error) {
	if s.dir == "" {
		s.model, err = detached(m)
		return err
	}
	return AtRoot(ctx, s.world, m, func() error {
		_, err := onnxio.WriteContext(ctx, filepath.Join(s.dir, bestName), m, onnxio.WriteOptions{})
		return err
	})
}

// write writes the lines of the epochs so far.
func (s *selection) write() error {
	return atomicfile.Write(filepath.Join(s.dir, heldName), func(w io.Writer) error {
		for _, l := range s.lines {
			text, err := json.Marshal(l)
			if err == nil {
				_, err = w.Write(append(text, '\n'))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// readHeldOut reads the lines of a run, none where no epoch was finished.
func readHeldOut(dir string) ([]HeldOut, error) {
	path := filepath.Join(dir, heldName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []HeldOut
	for in := json.NewDecoder(bufio.NewReader(f)); in.More(); {
		var l HeldOut
		if err := in.Decode(&l); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if l.Epoch != len(lines)+1 {
			return nil, fmt.Errorf("%s: line %d is of epoch %d", path, len(lines)+1, l.Epoch)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// chosen returns what Train returns after its last epoch, whose model is last.
func (s *selection) chosen(last *onnxio.Model, epoch int) (*onnxio.Model, error) {
	if s == nil || !s.Best {
		return last, nil
	}
	best := s.best(epoch)
	switch {
	case best == nil:
		return nil, fmt.Errorf("on the samples held out: %w", ErrNotFinite)
	case best.Epoch == epoch || s.world != nil && s.world.Rank() > 0: // rank 0 reads the file
		return last, nil
	case s.dir == "":
		return s.model, nil
	}
	m, err := onnxio.Read(filepath.Join(s.dir, bestName))
	if err != nil {
		return nil, fmt.Errorf("the model of epoch %d: %w", best.Epoch, err)
	}
	return m, nil
}

// detached returns a copy of m that does not change as training goes on.
func detached(m *onnxio.Model) (*onnxio.Model, error) {
	c := m.Clone()
	for i, init := range c.Graph.Initializers {
		own := *init
		var err error
		if own.Data, err = copied(init.Data); err != nil {
			return nil, err
		}
		c.Graph.Initializers[i] = &own
	}
	for name, t := range c.Graph.SparseConstants() {
		values, err := copied(t.Values.Data)
		if err != nil {
			return nil, err
		}
		c.Graph.SetSparseValues(name, values)
	}
	return c, nil
}

func copied(d onnxio.Data) (onnxio.Data, error) {
	if d == nil {
		return nil, nil
	}
	b := bytes.NewBuffer(make([]byte, 0, d.Len()))
	if _, err := d.WriteTo(b); err != nil {
		return nil, err
	}
	return onnxio.Generate(d.Len(), func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	}), nil
}
