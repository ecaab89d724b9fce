package relax

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/internal/atomicfile"
	"efcn/internal/folderlock"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

const (
	settingsName    = "settings.json"
	settingsVersion = 1
)

// Settings is what settings.json holds: everything that the results follow
// from.
type Settings struct {
	Version int `json:"version"`
	// About says, for those who read it, where things were from: file names, data
	// specifications, the program. It may change from call to call.
	About map[string]string `json:"about,omitempty"`

	CNN   string         `json:"cnn,omitempty"`       // SHA-256 of the model
	Given map[int]string `json:"cnn_given,omitempty"` // the same of every CNN that was given, by its epoch
	Data  string         `json:"data"`                // of the samples
	Test  string         `json:"test"`

	RelaxEpochs []int  `json:"relax_epochs,omitempty"` // may grow, unless the CNNs were given
	Epochs      int    `json:"epochs,omitempty"`       // may grow, unless the schedule depends on it
	CNNEpochs   int    `json:"cnn_epochs,omitempty"`   // may grow with them
	Seed        uint64 `json:"seed"`                   // the first
	Seeds       int    `json:"seeds"`                  // may grow
	Relaxed     Kind   `json:"relaxed,omitempty"`      // what is trained at every relax time; "" is EFCN
	With        []Kind `json:"with"`                   // may grow
	Reinit      bool   `json:"reinit"`
	NoFoldBN    bool   `json:"no_fold_bn"`
	Threads     int    `json:"threads"` // results repeat at one number of threads only
	// Products is what multiplies matrices. It may change from call to call; results then
	// repeat within rounding only.
	Products string `json:"matrix_products,omitempty"`

	Batch     int                `json:"batch"`
	Rate      float64            `json:"lr"`
	Schedule  finetune.Schedule  `json:"lr_schedule"`
	Optimizer finetune.Optimizer `json:"optimizer"`
	Clip      float64            `json:"clip"`
	// InitBatches is 0 for the default of finetune.Options.
	InitBatches int          `json:"init_batches,omitempty"`
	Augment     data.Augment `json:"augment"`
}

// settings returns those of a study.
func (s *Study) settings() (*Settings, error) {
	o := s.Options
	t := &Settings{
		Version: settingsVersion, About: s.About,
		RelaxEpochs: o.RelaxEpochs, Epochs: o.Train.Epochs, CNNEpochs: o.CNNEpochs,
		Seed: o.Train.Seed, Seeds: o.Seeds, With: o.With,
		Reinit: o.Reinit, NoFoldBN: o.NoFoldBN, Threads: kernel.Threads(),
		Batch: o.Train.Batch, Rate: o.Train.Rate, Schedule: o.Train.Schedule, Optimizer: o.Train.Optimizer,
		Clip: o.Train.Clip, Augment: o.Train.Augment,
		Data: s.Data.Hash(), Test: s.Test.Hash(), Products: fmt.Sprint(kernel.BLAS()),
	}
	if d := o.Train.Device; d != nil {
		t.Products = "cuBLAS on " + d.Kind()
	}
	if r := o.relaxed(); r != EFCN {
		t.Relaxed = r
	}
	if n := o.Train.InitBatches; n != (finetune.Options{}).WithDefaults().InitBatches {
		t.InitBatches = n
	}
	if s.Given == nil {
		var err error
		t.CNN, err = hash(s.CNN)
		return t, err
	}
	t.CNNEpochs, t.Given = 0, map[int]string{}
	for epoch, m := range s.Given {
		var err error
		if t.Given[epoch], err = hash(m); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Embedded lists the kinds of runs of a relax time: the one that trains all weights
// first, then those that With adds.
func (s *Settings) Embedded() []Kind {
	return append([]Kind{cmp.Or(s.Relaxed, EFCN)}, s.With...)
}

// hasFCN reports whether the study has the fully-connected network: a factored one
// has not.
func (s *Settings) hasFCN() bool { return s.Embedded()[0] == EFCN }

func hash(m *onnxio.Model) (string, error) {
	h := sha256.New()
	if _, err := onnxio.WriteTo(h, m); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// adopt makes the folder dir that of the study s, if it is empty, and refuses one
// that holds a study with other settings. It tells notice, unless nil, where results
// will not be those of one process to the bit.
func (s *Settings) adopt(dir string, notice func(text string)) error {
	old, err := readSettings(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		other := func(f os.DirEntry) bool { return f.Name() != folderlock.Name && !isHalf(f.Name(), halfSettings) }
		if slices.ContainsFunc(files, other) {
			return fmt.Errorf("%s: holds files, and is no study's folder: it has no %s; take another", dir, settingsName)
		}
	case err != nil:
		return err
	default:
		if err := s.continues(old); err != nil {
			return fmt.Errorf("%s: %w; take another folder", dir, err)
		}
		if err := s.restart(dir, old); err != nil {
			return err
		}
		if old.Products != "" && old.Products != s.Products && notice != nil {
			notice(fmt.Sprintf("%s was begun with matrix products by %s, these are by %s: its runs will be the same within "+
				"rounding, not to the bit", dir, old.Products, s.Products))
		}
	}
	if err := removeHalf(dir, halfSettings, halfTables); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, settingsName), s)
}

// restart removes the checkpoint of a CNN's run that is past a relax time which the study
// with the settings old did not have: it was not kept there, and is trained again.
func (s *Settings) restart(dir string, old *Settings) error {
	for _, r := range old.Runs() {
		if r.Kind != CNN {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(r.Path()))
		lines, err := Metrics(path)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(s.RelaxEpochs, func(t int) bool {
			return t > 0 && t <= len(lines) && !slices.Contains(old.RelaxEpochs, t)
		}) {
			continue
		}
		err = os.Remove(filepath.Join(path, checkpointName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// continues says what keeps a study from being the one that was begun with the
// settings old, or a larger one.
func (s *Settings) continues(old *Settings) error {
	if s.Seeds < old.Seeds {
		return fmt.Errorf("it is a study of %d seeds, this one has %d", old.Seeds, s.Seeds)
	}
	if was, is := old.Embedded()[0], s.Embedded()[0]; was != is {
		return fmt.Errorf("it is a study of %s, this one of %s", was, is)
	}
	for _, k := range old.With {
		if !slices.Contains(s.With, k) {
			return fmt.Errorf("it is a study with %s, this one is without", k)
		}
	}
	was, is := old.whole(), s.whole()
	was.Seed, is.Seed = old.Seed, s.Seed
	if s.Schedule.Kind != "cosine" {
		if s.Epochs >= old.Epochs {
			was.Epochs = is.Epochs
		}
		if s.CNNEpochs >= old.CNNEpochs {
			was.CNNEpochs = is.CNNEpochs
		}
	}
	if s.Given == nil && !slices.ContainsFunc(old.RelaxEpochs, func(t int) bool {
		return !slices.Contains(s.RelaxEpochs, t)
	}) {
		was.RelaxEpochs = is.RelaxEpochs
	}
	return differences(was, is, "is a study", "this one")
}

// whole returns the settings without those that say where things were from, and the
// seeds and kinds of runs.
func (s *Settings) whole() *Settings {
	own := s.ofRun()
	own.RelaxEpochs, own.Epochs, own.CNNEpochs = s.RelaxEpochs, s.Epochs, s.CNNEpochs
	return own
}

// epochsOf is how long a run of a kind is trained.
func (s *Settings) epochsOf(k Kind) int {
	if k == CNN {
		return s.CNNEpochs
	}
	return s.Epochs
}

// ofRun returns the settings that the result of a run follows from, besides its own seed
// and the number of its epochs, which it has itself: without those that may grow or say
// where things were from.
func (s *Settings) ofRun() *Settings {
	own := *s
	own.RelaxEpochs, own.Epochs, own.CNNEpochs = nil, 0, 0
	own.Version, own.About, own.Seed, own.Seeds, own.Relaxed, own.With = settingsVersion, nil, 0, 0, "", nil
	own.Products = ""
	return &own
}

// differences says in what settings differ: it <verb> with one value, <this> has
// another.
func differences(was, is *Settings, verb, this string) error {
	a, err := fields(was)
	if err != nil {
		return err
	}
	b, err := fields(is)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names(a, b) {
		if bytes.Equal(a[name], b[name]) {
			continue
		}
		switch name {
		case "cnn", "cnn_given":
			errs = append(errs, fmt.Errorf("it %s of another CNN", verb))
		case "data", "test":
			errs = append(errs, fmt.Errorf("it %s on other samples (%s)", verb, name))
		default:
			errs = append(errs, fmt.Errorf("it %s with %s %s, %s has %s", verb, name, text(a[name]), this, text(b[name])))
		}
	}
	return errors.Join(errs...)
}

func text(value json.RawMessage) string {
	if value == nil {
		return "unset"
	}
	return string(value)
}

func names(a, b map[string]json.RawMessage) []string {
	var all []string
	for _, m := range []map[string]json.RawMessage{a, b} {
		for name := range m {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func fields(t *Settings) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	return m, json.Unmarshal(b, &m)
}

func readSettings(dir string) (*Settings, error) {
	var t Settings
	path := filepath.Join(dir, settingsName)
	if err := readJSON(path, &t); err != nil {
		return nil, err
	}
	if t.Version < 1 || t.Version > settingsVersion {
		return nil, fmt.Errorf("%s: version %d is not one this program reads (1 to %d)", path, t.Version, settingsVersion)
	}
	return &t, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

func writeFile(path string, b []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}
