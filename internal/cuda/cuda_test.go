package cuda

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The tests here need no GPU and no stand-in, and do the same where there is one.

// TestCandidates: the folder that is named goes first, then Python environments, then
// where the system looks, then the usual folders; newer libraries before older ones.
func TestCandidates(t *testing.T) {
	folder, venv, conda, usual := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	packages := filepath.Join(venv, "lib", "python3.12", "site-packages", "nvidia")
	files := []string{
		filepath.Join(folder, "libcublas.so.12"),
		filepath.Join(packages, "cu13", "lib", "libcublas.so.13"),
		filepath.Join(packages, "cublas", "lib", "libcublas.so.12"),
		filepath.Join(conda, "lib", "libcublas.so.13"),
		"libcublas.so.13", "libcublas.so.12",
		filepath.Join(usual, "libcublas.so.12"),
	}
	for _, file := range append(slices.Clone(files), filepath.Join(packages, "cu13", "lib", "libcublasLt.so.13")) {
		if !filepath.IsAbs(file) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("not a library"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := blasPlaces["linux"]
	p.folders = []string{usual}
	variables := map[string]string{"VIRTUAL_ENV": venv, "CONDA_PREFIX": conda}
	getenv := func(name string) string { return variables[name] }
	if got := p.candidates(folder, getenv); !slices.Equal(got, files) {
		t.Errorf("got %q\nwant %q", got, files)
	}
	if got := p.candidates("", func(string) string { return "" }); !slices.Equal(got, files[4:]) {
		t.Errorf("without folder and environment: %q, want %q", got, files[4:])
	}
	if _, err := p.load(folder, getenv, nil); err == nil || !strings.HasPrefix(err.Error(), "CUDA: "+files[0]+": ") {
		t.Errorf("a file that is no library: %v", err)
	}
	p.names = []string{"no-such-library.so.1"}
	if l, err := p.load("", getenv, nil); l != nil || err != nil {
		t.Errorf("no file at all: %v, %v", l, err)
	}
}

// TestFindRefuses: what is missing is named, with what to install.
func TestFindRefuses(t *testing.T) {
	driverPlaces["nowhere"] = places{names: []string{"no-such-driver.so.1"}}
	defer delete(driverPlaces, "nowhere")
	for _, c := range []struct{ goos, env, want string }{
		{"linux", "off", "CUDA is switched off by EFCN_CUDA=off; unset that"},
		{"nowhere", "", "CUDA is not found: no no-such-driver.so.1 where the system looks for libraries; " +
			"install the NVIDIA driver 580 or newer, or set EFCN_CUDA=FOLDER"},
		{"darwin", "", fmt.Sprintf("CUDA runs on Linux and Windows on amd64 and arm64, this is darwin/%s", runtime.GOARCH)},
	} {
		_, err := findFor(c.goos, "", func(name string) string { return map[string]string{"EFCN_CUDA": c.env}[name] })
		var missing *NotFoundError
		if !errors.As(err, &missing) || err.Error() != c.want {
			t.Errorf("%s, EFCN_CUDA=%q: %v, want %q", c.goos, c.env, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err          error
		text         string
		memory, lost bool
	}{
		{&Error{"cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}, "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)", true, false},
		{&Error{"cublasCreate_v2", -3, "CUBLAS_STATUS_ALLOC_FAILED", "no"}, "cublasCreate_v2: CUBLAS_STATUS_ALLOC_FAILED (no)", true, false},
		{&Error{"cuStreamSynchronize", 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "x"}, "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (x)", false, true},
		{&MemoryError{Device: "cuda:0 H100", Want: 5e9, Free: 1e9, Memory: 8e10}, "cuda:0 H100: 5.000 GB wanted, 1.000 of 80.000 GB are free", true, false},
		{&MemoryError{Device: "pinned memory of the host", Want: 1e6}, "pinned memory of the host: 0.001 GB wanted, and the system does not give it", true, false},
		{&VersionError{Have: 12040, Want: 13000}, "the NVIDIA driver has CUDA 12.4; want 13.0: driver 580 or newer", false, false},
	} {
		if c.err.Error() != c.text || errors.Is(c.err, ErrOutOfMemory) != c.memory || errors.Is(c.err, ErrLost) != c.lost {
			t.Errorf("%v: memory %v, lost %v; want %s", c.err, errors.Is(c.err, ErrOutOfMemory), errors.Is(c.err, ErrLost), c.text)
		}
	}
}

// TestCompiled: every kernel of the sources is in the compiled files in both precisions,
// and nothing else is, for devices from compute capability 8.0 on.
func TestCompiled(t *testing.T) {
	var want []string
	sources, err := filepath.Glob("kernels/*.cu")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:TEAM_)?KERNEL\((\w+),`).FindAllStringSubmatch(string(text), -1) {
			want = append(want, m[1]+"_float32", m[1]+"_float64")
		}
		for _, suffix := range []string{"_float32.ptx", "_float64.ptx"} {
			ptx, err := os.ReadFile(strings.TrimSuffix(source, ".cu") + suffix)
			if err != nil || !strings.Contains(string(ptx), ".version 9.0\n.target sm_80\n.address_size 64\n") {
				t.Errorf("%s: not compiled for compute_80 (%v)", source, err)
			}
		}
	}
	all, err := entries()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, e := range all {
		got = append(got, name)
		if len(e.sizes) == 0 || len(e.sizes) > maxParameters {
			t.Errorf("%s: %d parameters", name, len(e.sizes))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(got) != kernelCount {
		t.Errorf("%d kernels are compiled, %d in the sources, want %d: go generate compiles them", len(got), len(want), kernelCount)
	}
	if e := all["max_pool_float32"]; !slices.Equal(e.sizes, []int{8, 4, 84, 4, 8, 8, 8}) {
		t.Errorf("max_pool_float32 has parameters of %d bytes", e.sizes)
	}
}

// kernelCount is how many kernels there are, in both precisions together.
const kernelCount = 110

func TestReadEntriesRefuses(t *testing.T) {
	for _, text := range []string{
		".visible .entry f(\n.param .u64 f_param_0",
		".visible .entry f(\n.param .u f_param_0\n)",
		".visible .entry f(\n.local .u64 f_param_0\n)",
	} {
		if err := readEntries("f.ptx", text, map[string]entry{}); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
