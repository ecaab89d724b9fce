package relax

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"efcn/convert/record"
	"efcn/finetune"
)

const (
	runName     = "run.json"
	metricsName = "metrics.jsonl"
)

// Result is what came of a run, or a CNN at a relax time: run.json, and a row
// of results.csv. Pointers are nil where there is nothing to say.
type Result struct {
	Run        string  `json:"run"`            // folder within that of the study
	File       string  `json:"file,omitempty"` // the model that Final.Test is of
	Kind       Kind    `json:"kind"`
	Seed       *uint64 `json:"seed,omitempty"`
	RelaxEpoch *int    `json:"relax_epoch,omitempty"`

	// WeightBytes is the size of all weights of the model that the run began with;
	// 0 where it is not known.
	WeightBytes int64 `json:"weight_bytes,omitempty"`

	Epochs int   `json:"epochs"` // of this run, that were finished
	Start  State `json:"start"`
	Final  State `json:"final"`
	// BestTop1 is the greatest accuracy on the test set after any epoch from
	// the first; BestEpoch the first that has it.
	BestTop1  *float64 `json:"best_test_top1,omitempty"`
	BestEpoch *int     `json:"best_epoch,omitempty"`
	// Projected is the nearest CNN, of an eFCN.
	Projected *finetune.Metrics `json:"projected_test,omitempty"`
	Seconds   float64           `json:"seconds"` // of training, without measurements
	Failed    string            `json:"failed,omitempty"`
	// Settings are those of the study that the run was made for, as far as its
	// result follows from them; nil in a folder of a version that did not note them.
	Settings *Settings `json:"settings,omitempty"`
}

// State is what was measured of a model.
type State struct {
	Train     *finetune.Metrics `json:"train,omitempty"` // of the epoch that ended there, as it went on
	Test      *finetune.Metrics `json:"test,omitempty"`
	Travelled *float64          `json:"travelled,omitempty"`
	Deviation *record.Deviation `json:"deviation,omitempty"`
}

// readResult returns the result of a run of the study with settings s that is
// finished, nil of one that is not. One that was made with other settings, and
// copied in, is refused.
func readResult(dir string, s *Settings, r Run) (*Result, error) {
	path := filepath.Join(dir, filepath.FromSlash(r.Path()))
	result, err := readWith(s, path, filepath.Join(path, runName))
	if err == nil && result != nil && result.Run != r.Path() {
		return nil, fmt.Errorf("%s: it holds the run %q of a study; remove what is there to have its own made", path,
			result.Run)
	}
	if err != nil || result == nil || result.Failed != "" {
		return result, err
	}
	switch want := s.epochsOf(r.Kind); {
	case result.Epochs > want:
		return nil, fmt.Errorf("%s: it was trained for %d epochs, a run of this study is for %d; remove what is there to "+
			"have it made again", path, result.Epochs, want)
	case result.Epochs < want:
		return nil, nil // the study has grown since
	}
	return result, nil
}

// readWith reads the result in file, of a run in the folder path.
func readWith(s *Settings, path, file string) (*Result, error) {
	var result Result
	err := readJSON(file, &result)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || result.Settings == nil {
		return &result, err
	}
	if err := differences(result.Settings.ofRun(), s.ofRun(), "was made for a study", "this study"); err != nil {
		return nil, fmt.Errorf("%s: %w; remove what is there to have it made again", path, err)
	}
	return &result, nil
}

// readGiven returns what was measured of the CNN that was given of an epoch, nil
// if nothing was yet.
func readGiven(dir string, s *Settings, epoch int) (*Result, error) {
	return readWith(s, filepath.Join(dir, givenName), filepath.Join(dir, givenName, fmt.Sprintf("epoch-%d.json", epoch)))
}

// Metrics returns the lines of metrics.jsonl of the run in the folder dir: an
// epoch each, from 1, none where no epoch was finished.
func Metrics(dir string) ([]finetune.EpochMetrics, error) {
	path := filepath.Join(dir, metricsName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []finetune.EpochMetrics
	in := json.NewDecoder(bufio.NewReader(f))
	for in.More() {
		var m finetune.EpochMetrics
		if err := in.Decode(&m); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// Folder is the folder of a study as it was read.
type Folder struct {
	Settings *Settings
	// Results are those of the runs that are finished and of the CNNs that were
	// embedded, in the order of Settings.Runs.
	Results []*Result
	// Missing are the runs that are not finished.
	Missing []Run
	// Unnoted are the runs that do not say with which settings they were made, as
	// those of older versions do not: they are taken to have those of the study.
	Unnoted []Run
}

// Read reads the folder of a study, finished or not.
func Read(dir string) (*Folder, error) {
	s, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{Settings: s}
	for _, t := range s.RelaxEpochs {
		if s.Given == nil {
			break
		}
		snapshot, err := readGiven(dir, s, t)
		if err != nil {
			return nil, err
		}
		if snapshot != nil {
			f.Results = append(f.Results, snapshot)
		}
	}
	for _, r := range s.Runs() {
		result, err := readResult(dir, s, r)
		if err != nil {
			return nil, err
		}
		if result == nil {
			f.Missing = append(f.Missing, r)
			continue
		}
		f.Results = append(f.Results, result)
		if result.Settings == nil {
			f.Unnoted = append(f.Unnoted, r)
		}
		if r.Kind != CNN {
			continue
		}
		lines, err := Metrics(filepath.Join(dir, filepath.FromSlash(r.Path())))
		if err != nil {
			return nil, err
		}
		f.Results = append(f.Results, snapshots(result, lines, s.RelaxEpochs)...)
	}
	return f, nil
}

// snapshots are the results of the CNN at the relax times that its run reached,
// as if it had ended there.
func snapshots(cnn *Result, lines []finetune.EpochMetrics, relax []int) []*Result {
	var all []*Result
	for _, t := range relax {
		if t > len(lines) {
			break
		}
		s := &Result{Run: cnn.Run, File: cnn.Run + "/" + snapshotName(t), Kind: Snapshot, Seed: cnn.Seed, RelaxEpoch: &t}
		s.conclude(lines[:t])
		if s.Start = cnn.Start; t == 0 {
			s.Final = s.Start
		} else if s.Final.Test != nil {
			s.Final.Test.N = cnn.Start.Test.N
		}
		all = append(all, s)
	}
	return all
}

// state is what the line of an epoch says of the model of a run that began at
// start.
func state(m finetune.EpochMetrics, start *record.Deviation) State {
	s := State{
		Train: &finetune.Metrics{Loss: m.TrainLoss, Top1: m.TrainTop1}, Deviation: m.Deviation,
		Travelled: over(start, func(l *record.LayerDeviation) (part, whole *float64) { return travelled(&m, l), &l.Norm }),
	}
	if m.TestLoss != nil {
		s.Test = &finetune.Metrics{Loss: *m.TestLoss, Top1: *m.TestTop1, Top5: *m.TestTop5}
	}
	return s
}

// travelled is how far the matrix of a layer is from where its run began. What is
// not trained stays there. It is nil where it was not measured.
func travelled(m *finetune.EpochMetrics, l *record.LayerDeviation) *float64 {
	if l.Layout == record.Factored {
		return entry(m.MatrixTravelled, l.Weight)
	}
	if m.Travelled == nil {
		return nil
	}
	far := m.Travelled[l.Weight]
	return &far
}

// over returns the norm of a quantity of all embedded layers together, divided by
// that of another; whole is nil where it is not divided. It is nil unless every
// layer has the quantity.
func over(d *record.Deviation, of func(l *record.LayerDeviation) (part, whole *float64)) *float64 {
	if d == nil {
		return nil
	}
	var parts, wholes float64
	layers := 0
	for i := range d.Layers {
		l := &d.Layers[i]
		if l.NotMeasured != "" {
			continue
		}
		part, whole := of(l)
		if part == nil {
			return nil
		}
		layers++
		parts += *part * *part
		if whole != nil {
			wholes += *whole * *whole
		}
	}
	if layers == 0 {
		return nil
	}
	norm := math.Sqrt(parts)
	if wholes > 0 {
		norm /= math.Sqrt(wholes)
	}
	return &norm
}

// conclude makes the result of a run from the lines of its epochs.
func (r *Result) conclude(lines []finetune.EpochMetrics) {
	r.Epochs = len(lines)
	for i, m := range lines {
		r.Seconds += m.Seconds
		if m.TestTop1 != nil && (r.BestTop1 == nil || *m.TestTop1 > *r.BestTop1) {
			epoch := i + 1
			r.BestTop1, r.BestEpoch = m.TestTop1, &epoch
		}
	}
	if n := len(lines); n > 0 && r.Failed == "" {
		r.Final = state(lines[n-1], r.Start.Deviation)
	}
}
