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
	"runtime"
	"strconv"
	"strings"

	"efcn/convert"
	"efcn/internal/atomicfile"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

const metricsName = "metrics.jsonl"

// EpochMetrics is a line of metrics.jsonl.
type EpochMetrics struct {
	Epoch     int      `json:"epoch"` // from 1
	Steps     int      `json:"steps"` // taken so far, over all epochs
	Rate      float64  `json:"rate"`  // of the last step
	TrainLoss float64  `json:"train_loss"`
	TrainTop1 float64  `json:"train_top1"`
	TestLoss  *float64 `json:"test_loss,omitempty"`
	TestTop1  *float64 `json:"test_top1,omitempty"`
	TestTop5  *float64 `json:"test_top5,omitempty"`
	Seconds   float64  `json:"seconds"`    // of training, without the test
	PeakBytes int64    `json:"peak_bytes"` // of memory, of the process so far
	// GradientNorms are those of the epoch's last step, before clipping, by
	// initializer. A weight matrix that plain SGD updates inside the backward
	// product has no gradient to measure.
	GradientNorms map[string]float64 `json:"gradient_norms,omitempty"`
	// Deviation says how far an eFCN is from the CNN subspace.
	Deviation *convert.Deviation `json:"deviation,omitempty"`
}

// note appends a line to metrics.jsonl, if the run is saved.
func (s *session[T]) note(ctx context.Context, m *onnxio.Model, e Epoch) error {
	if s.options.Checkpoint == "" {
		return nil
	}
	line := EpochMetrics{
		Epoch: e.Epoch, Steps: e.Steps, Rate: s.update().rate, TrainLoss: e.Train.Loss, TrainTop1: e.Train.Top1,
		Seconds: e.Seconds, PeakBytes: PeakBytes(), GradientNorms: s.norms,
	}
	if e.Test != nil {
		line.TestLoss, line.TestTop1, line.TestTop5 = &e.Test.Loss, &e.Test.Top1, &e.Test.Top5
	}
	if record, err := convert.ReadRecord(m); err != nil {
		return err
	} else if record != nil {
		trained, err := s.trainee.export(m)
		if err != nil {
			return err
		}
		if line.Deviation, err = convert.Measure(ctx, trained, nil); err != nil {
			return fmt.Errorf("deviation: %w", err)
		}
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.options.Checkpoint, metricsName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// norms returns the norms of the gradients of the step that n took last.
func (n *network[T]) norms() map[string]float64 {
	norms := map[string]float64{}
	for _, g := range n.reads {
		norms[g.p.name] = math.Sqrt(kernel.SumSquares(elements[T](g.node.Value())))
	}
	return norms
}

// trimMetrics drops the lines of the epoch that is to come and of those behind
// it: a run that was killed may have written them, the last one in part.
func trimMetrics(dir string, epoch int) error {
	path := filepath.Join(dir, metricsName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	var kept []byte
	for line := range bytes.Lines(text) {
		var m EpochMetrics
		if json.Unmarshal(line, &m) != nil || m.Epoch >= epoch || !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		kept = append(kept, line...)
	}
	if len(kept) == len(text) {
		return nil
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(kept)
		return err
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// PeakBytes returns the most memory that the process has had: what the system
// says on Linux, elsewhere what Go has asked it for.
func PeakBytes() int64 {
	if f, err := os.Open("/proc/self/status"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
				kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				if err == nil {
					return kib << 10
				}
			}
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys)
}
