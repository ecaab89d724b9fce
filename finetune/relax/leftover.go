package relax

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"efcn/onnxio"
)

// What a process that is killed leaves behind: files that were being written, and the
// checkpoint of a run whose result was. Each is removed by who has the lock of its folder.

// halfSettings, halfTables, halfResult and halfModels are the names of such files.
const (
	halfSettings = settingsName + ".????????.tmp"
	halfTables   = "*.csv.????????.tmp"
	halfResult   = runName + ".????????.tmp"
	halfModels   = ".*.onnx*.*-*.tmp"
)

// isHalf reports whether a file's name is that of one of these forms.
func isHalf(name string, forms ...string) bool {
	for _, form := range forms {
		if ok, err := filepath.Match(form, name); err == nil && ok {
			return true
		}
	}
	return false
}

// removeHalf removes the files of these forms from a folder.
func removeHalf(dir string, forms ...string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if isHalf(f.Name(), forms...) {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// finished returns the result of a run that is finished, nil of one that is not, and
// removes the checkpoint if that was left and is not to be kept. A CNN is not finished
// while it lacks the model of a relax time: it is then trained again from its start, which
// gives the same bits.
func (s *Study) finished(dir string, settings *Settings, r Run) (*Result, error) {
	result, err := readResult(dir, settings, r)
	if err != nil || result == nil {
		return nil, err
	}
	path := filepath.Join(dir, filepath.FromSlash(r.Path()))
	lacks, err := settings.lacksSnapshot(path, result)
	if err != nil {
		return nil, err
	}
	if lacks {
		result = nil
	}
	if s.Options.KeepCheckpoints && !lacks {
		return result, nil
	}
	err = os.Remove(filepath.Join(path, checkpointName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return result, err
}

// lacksSnapshot reports whether a finished run is that of a CNN which was not kept at one of
// the relax times that it reached.
func (s *Settings) lacksSnapshot(path string, result *Result) (bool, error) {
	if result.Kind != CNN {
		return false, nil
	}
	for _, t := range s.RelaxEpochs {
		if t > result.Epochs {
			break
		}
		_, err := os.Stat(filepath.Join(path, snapshotName(t)))
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// sameAsKept returns an error if a file is there that holds another model than m.
func sameAsKept(file string, m *onnxio.Model) error {
	kept, err := onnxio.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	was, err := hash(kept)
	if err != nil {
		return err
	}
	is, err := hash(m)
	if err == nil && was != is {
		err = fmt.Errorf("%s: the CNN is trained again and comes out with other weights than are there, which other runs "+
			"begin with; take another folder, or the machine that began the study", file)
	}
	return err
}
