package ort

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The tests here need no ONNX Runtime, and do the same where there is one: what
// it computes is compared by .ci/interop.

// TestPackaged: the libraries that the wheels for Linux, macOS and Windows and
// conda's package install are found, the virtual environment's first.
func TestPackaged(t *testing.T) {
	venv, conda := t.TempDir(), t.TempDir()
	want := []string{
		filepath.Join(venv, "lib", "python3.11", "site-packages", "onnxruntime", "capi", "libonnxruntime.so.1.32.0"),
		filepath.Join(venv, "lib", "python3.11", "site-packages", "onnxruntime", "capi", "libonnxruntime.1.32.0.dylib"),
		filepath.Join(venv, "Lib", "site-packages", "onnxruntime", "capi", "onnxruntime.dll"),
		filepath.Join(conda, "lib", "libonnxruntime.so"),
	}
	for _, file := range append(want, filepath.Join(filepath.Dir(want[0]), "libonnxruntime_providers_shared.so")) {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("not a library"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	getenv := func(name string) string { return map[string]string{"VIRTUAL_ENV": venv, "CONDA_PREFIX": conda}[name] }
	if got := packaged(getenv); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := packaged(func(string) string { return "" }); got != nil {
		t.Errorf("without an environment: %q", got)
	}

	_, err := search(append(packaged(getenv), "no-such-library"))
	if err == nil || !strings.Contains(err.Error(), "ONNX Runtime is not found: no "+libraryNames(runtime.GOOS)[0]) ||
		!strings.Contains(err.Error(), want[0]+": ") ||
		!strings.HasSuffix(err.Error(), "set EFCN_ORT=FILE, or name the library") {
		t.Errorf("got %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.so")
	if err := os.WriteFile(broken, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, env, want string }{
		{"", "off", "ONNX Runtime is switched off by EFCN_ORT=off"},
		{"", broken, "EFCN_ORT " + broken + ": "},
		{broken, "off", "ONNX Runtime: " + broken + ": "},
		{"off", "", "ONNX Runtime: off: "},
	} {
		_, err := load(c.file, func(name string) string {
			if name == "EFCN_ORT" {
				return c.env
			}
			return ""
		})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Count(err.Error(), broken) > 1 {
			t.Errorf("file %q, EFCN_ORT %q: got %v, want %q", c.file, c.env, err, c.want)
		}
	}
}
