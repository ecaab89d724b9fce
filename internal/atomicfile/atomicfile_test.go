package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func content(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	check := func(want string, files int) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil && want != "" || string(got) != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != files {
			t.Errorf("files %v (%v), want %d", all, err, files)
		}
	}
	broken := errors.New("broken")
	half := func(w io.Writer) error { return errors.Join(content("half")(w), broken) }

	if err := Write(path, half); !errors.Is(err, broken) {
		t.Error(err)
	}
	check("", 0)
	if err := Write(path, content("one")); err != nil {
		t.Error(err)
	}
	check("one", 1)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, half); !errors.Is(err, broken) {
		t.Error(err)
	}
	check("one", 1)
	if err := Write(path, content("two")); err != nil {
		t.Error(err)
	}
	check("two", 1)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v (%v), want that of the old file", info.Mode(), err)
	}

	link := filepath.Join(dir, "link")
	if err := os.Symlink("f", link); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, content("three")); err != nil {
		t.Error(err)
	}
	check("three", 2)
	if _, err := os.Readlink(link); err != nil {
		t.Errorf("the link is gone: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, content("x")); err == nil {
		t.Error("wrote over a directory")
	}
	var pathErr *os.PathError
	path := filepath.Join(dir, "missing", "f")
	if err := Write(path, content("x")); !errors.As(err, &pathErr) || pathErr.Path != path {
		t.Errorf("missing folder: %v, want an error that names %s", err, path)
	}
	if _, err := os.Stat("/dev/full"); err == nil { // Linux and the BSDs have it
		if err := Write("/dev/full", content("x")); err == nil {
			t.Error("wrote to a full device")
		}
		if info, err := os.Stat("/dev/full"); err != nil || info.Mode().IsRegular() {
			t.Error("the device is no device any more")
		}
	}
}

// TestCheck: a file that can be made, and what can't be replaced; nothing is left.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "new"), ""},
		{file, ""},
		{dir, ": not a regular file"},
		{filepath.Join(dir, "none", "new"), ": cannot be written: "},
	} {
		err := Check(c.path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.path+c.want)) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v (%v)", files, err)
	}
}
