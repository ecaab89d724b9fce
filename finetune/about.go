package finetune

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"efcn/convert/record"
	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

const aboutName = "about.json"

// About is what about.json in the folder of a run holds, for those who read it: what the
// run is of, and what its model was before the first step.
type About struct {
	// About is that of the options. It and Epochs are those of the last call, where a run
	// was resumed; all else is of the first.
	About map[string]string `json:"about"`
	Begun time.Time         `json:"begun,omitzero"`

	Epochs    int          `json:"epochs"`
	Batch     int          `json:"batch"`
	Rate      float64      `json:"lr"`
	Schedule  Schedule     `json:"lr_schedule"`
	Optimizer Optimizer    `json:"optimizer"`
	Clip      float64      `json:"clip,omitempty"`
	Train     string       `json:"train"`
	Reinit    bool         `json:"reinit,omitempty"`
	Init      Init         `json:"init,omitempty"`
	Refresh   int          `json:"refresh,omitempty"`
	Augment   data.Augment `json:"augment"`
	Seed      uint64       `json:"seed"`
	Threads   int          `json:"threads"`
	Products  string       `json:"matrix_products"` // what multiplies matrices

	// TestLoss, TestTop1 and TestTop5 are those of the model that the run began with,
	// where Options.Before had it measured; Deviation is there if that is an eFCN.
	TestLoss  *float64          `json:"test_loss,omitempty"`
	TestTop1  *float64          `json:"test_top1,omitempty"`
	TestTop5  *float64          `json:"test_top5,omitempty"`
	Deviation *record.Deviation `json:"deviation,omitempty"`
}

// ReadAbout reads about.json in the folder of a run. It returns nil where there is none:
// the run was made without Options.About, or by an older version.
func ReadAbout(dir string) (*About, error) {
	path := filepath.Join(dir, aboutName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a About
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &a, nil
}

// describe writes about.json, if it is asked for. before is what was measured of m,
// which the run began with: nil where it was not.
func (s *session[T]) describe(ctx context.Context, m *onnxio.Model, before *Metrics) error {
	o := s.options
	if o.Checkpoint == "" || o.About == nil {
		return nil
	}
	a, err := ReadAbout(o.Checkpoint)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if a == nil || s.at.Steps == 0 {
		a = &About{
			Batch: o.Batch, Rate: o.Rate, Schedule: o.Schedule,
			Optimizer: o.Optimizer, Clip: o.Clip, Train: cmp.Or(o.Train, TrainAll), Reinit: o.Reinit, Init: o.Init,
			Refresh: o.Refresh,
			Augment: o.Augment, Seed: o.Seed, Threads: kernel.Threads(), Products: fmt.Sprint(kernel.BLAS()),
		}
		if o.Device != nil {
			a.Products = "cuBLAS on " + o.Device.Kind()
		}
		if s.at.Steps == 0 { // else a version without about.json began the run
			a.Begun = time.Now().UTC().Truncate(time.Second)
		}
		if before != nil && !math.IsNaN(before.Loss) && !math.IsInf(before.Loss, 0) {
			a.TestLoss, a.TestTop1, a.TestTop5 = &before.Loss, &before.Top1, &before.Top5
		}
		if rec, err := record.Read(m); err != nil {
			return err
		} else if rec != nil {
			if a.Deviation, err = record.Measure(ctx, m, nil); err != nil {
				return fmt.Errorf("deviation: %w", err)
			}
		}
	}
	a.About, a.Epochs = o.About, o.Epochs
	text, err := json.MarshalIndent(a, "", "  ")
	if err == nil {
		err = atomicfile.Write(filepath.Join(o.Checkpoint, aboutName), func(w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(append(text, '\n')))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
