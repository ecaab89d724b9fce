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
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"efcn/convert/record"
	"efcn/internal/atomicfile"
	"efcn/internal/tfevents"
	"efcn/onnxio"
)

const (
	metricsName = "metrics.jsonl"
	// eventsName has what TensorBoard looks for in it.
	eventsName = "events.out.tfevents.efcn"
)

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
	Time      float64  `json:"time"`       // when the epoch ended, in seconds since 1970
	PeakBytes int64    `json:"peak_bytes"` // of memory, of the process so far; over ranks of rank 0 alone
	// GradientNorms are those of the epoch's last step, before clipping, of what
	// is trained, by initializer.
	GradientNorms map[string]float64 `json:"gradient_norms,omitempty"`
	// GradientInside and GradientOutside are those of that step's whole gradient
	// inside and outside the support of each dense embedded layer, trained or not.
	GradientInside  map[string]float64 `json:"gradient_inside,omitempty"`
	GradientOutside map[string]float64 `json:"gradient_outside,omitempty"`
	// Travelled is how far each trained initializer is from where the run began:
	// the norm of the difference. For V of a factored layer that counts what Options.Init
	// and Options.Refresh changed.
	Travelled map[string]float64 `json:"travelled,omitempty"`
	// MatrixTravelled is how far the matrix L + U·V of each factored layer is from
	// where the run began, by the name of L, where it began in the CNN subspace.
	MatrixTravelled map[string]float64 `json:"matrix_travelled,omitempty"`
	// SubspaceCut is the norm of what the refresh before the epoch cut from the matrices of
	// factored layers, by their nodes.
	SubspaceCut map[string]float64 `json:"subspace_cut,omitempty"`
	// Deviation says how far an eFCN is from the CNN subspace.
	Deviation *record.Deviation `json:"deviation,omitempty"`
}

// note appends a line to metrics.jsonl, if the run is saved.
func (s *session[T]) note(ctx context.Context, m *onnxio.Model, e Epoch) error {
	if s.options.Checkpoint == "" {
		return nil
	}
	line := EpochMetrics{
		Epoch: e.Epoch, Steps: e.Steps, Rate: s.update().rate, TrainLoss: e.Train.Loss, TrainTop1: e.Train.Top1,
		Seconds: e.Seconds, PeakBytes: PeakBytes(), Time: float64(time.Now().UnixMilli()) / 1e3,
	}
	if n := s.at.Norms; n != nil {
		line.GradientNorms, line.GradientInside, line.GradientOutside = n.Trained, n.Inside, n.Outside
	}
	line.SubspaceCut = s.at.Cut
	var err error
	if line.Travelled, err = s.trainee.distances(); err != nil {
		return fmt.Errorf("distance travelled: %w", err)
	}
	if e.Test != nil {
		line.TestLoss, line.TestTop1, line.TestTop5 = &e.Test.Loss, &e.Test.Top1, &e.Test.Top5
	}
	trained, err := s.trainee.export(m)
	if err != nil {
		return err
	}
	err = s.trainee.gather.atRoot(ctx, func() error {
		if err := s.measure(ctx, m, trained, &line); err != nil {
			return fmt.Errorf("deviation: %w", err)
		}
		text, err := json.Marshal(line)
		if err == nil {
			err = appendTo(filepath.Join(s.options.Checkpoint, metricsName), append(text, '\n'))
		}
		if err == nil {
			err = appendTo(filepath.Join(s.options.Checkpoint, eventsName), line.event())
		}
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		return nil
	})
	return agree(ctx, s.trainee.gather.job(), err)
}

// measure notes how far trained, if it is an eFCN, is from the CNN subspace and from m, which
// the run began with.
func (s *session[T]) measure(ctx context.Context, m, trained *onnxio.Model, line *EpochMetrics) error {
	rec, err := record.Read(m)
	if rec == nil || err != nil {
		return err
	}
	if s.origin == nil {
		if s.origin, err = originOf(ctx, m); err != nil {
			return err
		}
	}
	if line.Deviation, err = record.Measure(ctx, trained, s.origin.maps); err != nil {
		return err
	}
	line.MatrixTravelled = s.origin.travelled(line.Deviation)
	return nil
}

func appendTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// tagOf is the tag of a quantity of a layer or weight. TensorBoard takes slashes for
// folders, and names that PyTorch gives begin with one: of several in a row one stays.
func tagOf(quantity, name string) string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	return quantity + "/" + strings.Join(parts, "/")
}

// event is the line as an event of TensorBoard, at the step where the epoch
// ended.
func (m *EpochMetrics) event() []byte {
	values := []tfevents.Scalar{
		{Tag: "loss/train", Value: m.TrainLoss}, {Tag: "top1/train", Value: m.TrainTop1},
	}
	add := func(tag string, v *float64) {
		if v != nil {
			values = append(values, tfevents.Scalar{Tag: tag, Value: *v})
		}
	}
	add("loss/test", m.TestLoss)
	add("top1/test", m.TestTop1)
	add("top5/test", m.TestTop5)
	epoch, peak := float64(m.Epoch), float64(m.PeakBytes)
	add("run/epoch", &epoch)
	add("run/rate", &m.Rate)
	add("run/seconds", &m.Seconds)
	add("run/peak_bytes", &peak)
	for _, of := range []struct {
		tag  string
		each map[string]float64
	}{
		{"gradient", m.GradientNorms},
		{"gradient inside", m.GradientInside},
		{"gradient outside", m.GradientOutside},
		{"travelled", m.Travelled},
		{"matrix travelled", m.MatrixTravelled},
		{"subspace cut", m.SubspaceCut},
	} {
		for _, name := range slices.Sorted(maps.Keys(of.each)) {
			values = append(values, tfevents.Scalar{Tag: tagOf(of.tag, name), Value: of.each[name]})
		}
	}
	if d := m.Deviation; d != nil {
		add("deviation", &d.Distance)
		add("off-local share", &d.OffLocal)
		for i := range d.Layers {
			if l := &d.Layers[i]; l.NotMeasured == "" {
				add(tagOf("deviation", l.Node), &l.Distance)
				add(tagOf("off-local share", l.Node), &l.OffLocal)
			}
		}
	}
	return tfevents.Summary(m.Time, int64(m.Steps), values)
}

// trimMetrics drops the lines of the epoch that is to come and of those after
// it: a run that was killed may have written them, the last one in part. The
// events are written again from the lines that are kept.
func trimMetrics(dir string, epoch int) error {
	path := filepath.Join(dir, metricsName)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("metrics: %w", err)
	}
	var kept []byte
	events := tfevents.Start()
	for line := range bytes.Lines(text) {
		var m EpochMetrics
		if json.Unmarshal(line, &m) != nil || m.Epoch >= epoch || !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		kept = append(kept, line...)
		events = append(events, m.event()...)
	}
	for name, content := range map[string][]byte{metricsName: kept, eventsName: events} {
		if name == metricsName && len(kept) == len(text) {
			continue
		}
		err := atomicfile.Write(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
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
