package dynlib

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInEnvironments: the virtual environment's files go first, patterns in order.
func TestInEnvironments(t *testing.T) {
	venv, conda := t.TempDir(), t.TempDir()
	var want []string
	for _, file := range []string{
		filepath.Join(venv, "lib", "b.so.1"), filepath.Join(venv, "a.so"), filepath.Join(conda, "lib", "b.so.2"),
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("not a library"), 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, file)
	}
	variables := map[string]string{"VIRTUAL_ENV": venv, "CONDA_PREFIX": conda}
	got := InEnvironments(func(name string) string { return variables[name] }, "lib/b.so.*", "a.so", "[")
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := InEnvironments(func(string) string { return "" }, "*"); got != nil {
		t.Errorf("without an environment: %q", got)
	}
}

// TestOpen: what cannot be loaded is an error that leaves the file's name to the caller.
func TestOpen(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.so")
	if err := os.WriteFile(broken, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{broken, "no-such-library.so"} {
		if handle, err := Open(file, false); err == nil || handle != 0 || strings.Contains(err.Error(), file+": ") {
			t.Errorf("%s: %v, %v", file, handle, err)
		}
	}
}
