package relax

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
// removes the checkpoint if that was left.
func finished(dir string, s *Settings, r Run) (*Result, error) {
	result, err := readResult(dir, s, r)
	if err != nil || result == nil {
		return nil, err
	}
	err = os.Remove(filepath.Join(dir, filepath.FromSlash(r.Path()), checkpointName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return result, err
}
