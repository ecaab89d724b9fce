package relax

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"efcn/internal/atomicfile"
	"efcn/internal/folderlock"
)

// Merge joins folders of one study, made on several machines, into the folder out, which
// must not exist or be empty, and appears when it is whole. Its study has the seeds and the
// kinds of runs of all; of each, the runs that are finished are copied.
//
// Folders whose settings differ in anything but these are refused, with the settings and
// their values, and so is a run that several have with other results. notice, unless nil,
// is told what is not as of one process: runs that are left out as they are not finished,
// or do not say with which settings they were made, and other matrix products.
func Merge(ctx context.Context, dirs []string, out string, notice func(text string)) (*Folder, error) {
	if notice == nil {
		notice = func(string) {}
	}
	m := &merge{folders: make([]*Folder, len(dirs)), dirs: dirs, from: map[Run]int{}}
	for i, dir := range dirs {
		var err error
		if m.folders[i], err = Read(dir); err != nil {
			return nil, err
		}
	}
	if err := m.settle(notice); err != nil {
		return nil, err
	}
	if err := m.collect(notice); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(out)
	switch {
	case len(files) > 0:
		return nil, fmt.Errorf("%s: holds files; want a folder that does not exist or is empty", out)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	half, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".*.tmp")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(half) }() // of what is not whole; gone where it is
	if err := m.write(ctx, half); err != nil {
		return nil, err
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Rename(half, out); err != nil {
		return nil, err
	}
	return Read(out)
}

// merge is what becomes of several folders.
type merge struct {
	dirs     []string
	folders  []*Folder
	settings *Settings
	from     map[Run]int // which of the folders a run is from
}

// settle finds the settings that all folders have, with the seeds and kinds of all.
func (m *merge) settle(notice func(string)) error {
	first := m.folders[0].Settings
	own := *first
	m.settings = &own
	last := own.Seed + uint64(own.Seeds)
	var errs []error
	for i, f := range m.folders[1:] {
		s, dir := f.Settings, m.dirs[i+1]
		if was, is := s.Embedded()[0], first.Embedded()[0]; was != is {
			errs = append(errs, fmt.Errorf("%s: it is a study of %s, %s of %s", dir, was, m.dirs[0], is))
		}
		if err := differences(s.whole(), first.whole(), "is a study", m.dirs[0]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
		}
		if s.Products != first.Products {
			notice(fmt.Sprintf("%s has matrix products by %s, %s by %s: their runs repeat within rounding, not to the bit",
				m.dirs[0], cmp.Or(first.Products, "what is not known"), dir, cmp.Or(s.Products, "what is not known")))
		}
		own.Seed, last = min(own.Seed, s.Seed), max(last, s.Seed+uint64(s.Seeds))
		for _, k := range s.With {
			if !slices.Contains(own.With, k) {
				own.With = append(slices.Clone(own.With), k)
			}
		}
	}
	own.Seeds = int(last - own.Seed)
	return errors.Join(errs...)
}

// collect decides which folder every run is from.
func (m *merge) collect(notice func(string)) error {
	results := map[Run]*Result{}
	for i, f := range m.folders {
		for _, r := range f.Settings.Runs() {
			result, err := readResult(m.dirs[i], f.Settings, r)
			if err != nil {
				return err
			}
			if result == nil {
				continue
			}
			at, twice := m.from[r]
			if !twice {
				m.from[r], results[r] = i, result
				continue
			}
			if same, err := sameResult(results[r], result); err != nil || !same {
				return errors.Join(err, fmt.Errorf("%s: %s and %s have it with other results; remove one of them",
					r.Path(), m.dirs[at], m.dirs[i]))
			}
		}
		for _, r := range f.Unnoted {
			notice(fmt.Sprintf("%s/%s does not say with which settings it was made; it is taken to be of this study",
				m.dirs[i], r.Path()))
		}
	}
	for i, f := range m.folders {
		for _, r := range f.Missing {
			if _, found := m.from[r]; !found {
				notice(fmt.Sprintf("%s/%s is not finished, and left out", m.dirs[i], r.Path()))
			}
		}
	}
	return nil
}

// sameResult reports whether two results are the same but for the time that they took.
func sameResult(a, b *Result) (bool, error) {
	var texts [2][]byte
	for i, r := range []*Result{a, b} {
		own := *r
		own.Seconds, own.Settings = 0, nil
		var err error
		if texts[i], err = json.Marshal(own); err != nil {
			return false, err
		}
	}
	return bytes.Equal(texts[0], texts[1]), nil
}

// write writes the folder.
func (m *merge) write(ctx context.Context, out string) error {
	if err := writeJSON(filepath.Join(out, settingsName), m.settings); err != nil {
		return err
	}
	if m.settings.Given != nil {
		if err := copyFolder(ctx, filepath.Join(m.dirs[0], givenName), filepath.Join(out, givenName)); err != nil {
			return err
		}
	}
	for _, r := range m.settings.Runs() {
		i, ok := m.from[r]
		if !ok {
			continue
		}
		path := filepath.FromSlash(r.Path())
		if err := copyFolder(ctx, filepath.Join(m.dirs[i], path), filepath.Join(out, path)); err != nil {
			return err
		}
	}
	return writeTables(out)
}

// copyFolder copies the files of a folder, but for locks, checkpoints and what is half
// written.
func copyFolder(ctx context.Context, from, to string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o777); err != nil {
		return err
	}
	for _, f := range files {
		left := []string{folderlock.Name, claimName, checkpointName}
		if slices.Contains(left, f.Name()) || isHalf(f.Name(), "*.tmp", halfModels) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(filepath.Join(from, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return atomicfile.Write(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}
