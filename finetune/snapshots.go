package finetune

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"efcn/onnxio"
)

// Snapshots says after which steps of a run the model is kept, as an ONNX file
// beside the checkpoint; where it is at all, that it starts from is kept too, as
// of step 0. The zero value keeps none.
type Snapshots struct {
	// Every keeps the model after every so many steps.
	Every int
	// Log keeps it after about so many steps, of which each is the same multiple
	// of the one before, from the first to the last of the run. Steps that
	// rounding makes one are one.
	Log int
}

// ParseSnapshots reads "log:N" or "every:N".
func ParseSnapshots(text string) (Snapshots, error) {
	kind, count, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(count)
	switch {
	case err == nil && n > 0 && kind == "log":
		return Snapshots{Log: n}, nil
	case err == nil && n > 0 && kind == "every":
		return Snapshots{Every: n}, nil
	}
	return Snapshots{}, fmt.Errorf("checkpoints %q: want log:N for N of them at steps in geometric progression, or "+
		"every:N for one every N steps", text)
}

// after reports whether the model is kept after a step of a run of total steps.
func (s Snapshots) after(step, total int) bool {
	if s.Every > 0 && step%s.Every == 0 {
		return true
	}
	for i := range s.Log {
		along := 1.0
		if s.Log > 1 {
			along = float64(i) / float64(s.Log-1)
		}
		if step == int(math.Round(math.Pow(float64(total), along))) {
			return true
		}
	}
	return false
}

// snapshot keeps the model as it is after the step that was taken last.
func (s *session[T]) snapshot(ctx context.Context) error {
	if err := s.trainee.device.read(false); err != nil {
		return err
	}
	trained, err := s.trainee.export(s.model)
	if err != nil {
		return err
	}
	path := filepath.Join(s.options.Checkpoint, fmt.Sprintf("step-%07d.onnx", s.at.Steps))
	return s.trainee.gather.atRoot(ctx, func() error {
		if _, err := onnxio.Write(path, trained, onnxio.WriteOptions{}); err != nil {
			return fmt.Errorf("checkpoint %s: %w", path, err)
		}
		return nil
	})
}
