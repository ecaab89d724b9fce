package cuda

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"efcn/internal/dynlib"
)

// NotFoundError reports that the driver, cuBLAS or a GPU is not there.
type NotFoundError struct {
	Why string // what was looked for, or why nothing was, and what would help
}

func (e *NotFoundError) Error() string { return e.Why }

// places say where a library may be.
type places struct {
	names []string // where the system looks for libraries, the newest first
	// packages are where in a Python environment: patterns, without the name.
	packages []string
	folders  []string // further ones: patterns
}

var (
	driverPlaces = map[string]places{
		"linux":   {names: []string{"libcuda.so.1"}, folders: []string{"/usr/lib/wsl/lib"}},
		"windows": {names: []string{"nvcuda.dll"}},
	}
	blasPlaces = map[string]places{
		"linux": {
			names:    []string{"libcublas.so.13", "libcublas.so.12"},
			packages: []string{"lib/python3*/site-packages/nvidia/*/lib", "lib"},
			folders:  []string{"/usr/local/cuda/lib64", "/usr/local/cuda-1[23]*/lib64", "/opt/cuda/lib64"},
		},
		"windows": {
			names:    []string{"cublas64_13.dll", "cublas64_12.dll"},
			packages: []string{"Lib/site-packages/nvidia/*/bin/x86_64", "Lib/site-packages/nvidia/*/bin", "Library/bin"},
		},
	}
)

func find(folder string) (*Library, error) { return findFor(runtime.GOOS, folder, os.Getenv) }

func findFor(goos, folder string, getenv func(string) string) (*Library, error) {
	if folder == "" {
		if folder = getenv("EFCN_CUDA"); folder == "off" {
			return nil, &NotFoundError{"CUDA is switched off by EFCN_CUDA=off; unset that"}
		}
	}
	driver, ok := driverPlaces[goos]
	if !ok || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil, &NotFoundError{fmt.Sprintf("CUDA runs on Linux and Windows on amd64 and arm64, this is %s/%s", goos,
			runtime.GOARCH)}
	}
	l := &Library{}
	var err error
	if l.driver, err = driver.load(folder, getenv, driverNames[:]); err != nil {
		return nil, err
	}
	if l.driver == nil {
		return nil, &NotFoundError{fmt.Sprintf("CUDA is not found: no %s where the system looks for libraries; "+
			"install the NVIDIA driver %d or newer, or set EFCN_CUDA=FOLDER", strings.Join(driver.names, " or "),
			kernelDriver)}
	}
	blas := blasPlaces[goos]
	if l.blas, err = blas.load(folder, getenv, blasNames[:]); err != nil {
		return nil, err
	}
	if l.blas == nil {
		return nil, &NotFoundError{fmt.Sprintf("CUDA is not found: no %s in an active Python environment or where the "+
			"system looks for libraries; pip install nvidia-cublas and activate its environment, or set EFCN_CUDA=FOLDER",
			strings.Join(blas.names, " or "))}
	}
	return l, nil
}

// load loads the first file of a library that there is, and nil if there is none. One
// that is there and does not load is an error.
func (p places) load(folder string, getenv func(string) string, functionNames []string) (*functions, error) {
	for _, file := range p.candidates(folder, getenv) {
		handle, err := dynlib.Open(file, false)
		if err == nil {
			return newFunctions(handle, file, functionNames)
		}
		if _, missing := os.Stat(file); missing == nil {
			return nil, fmt.Errorf("CUDA: %s: %w", file, err)
		}
	}
	return nil, nil
}

// candidates lists files to try: in folder, or else in Python environments, where the
// system looks, and in the usual folders.
func (p places) candidates(folder string, getenv func(string) string) []string {
	var files []string
	existing := func(pattern string) {
		for _, name := range p.names {
			found, err := filepath.Glob(filepath.Join(pattern, name))
			if err == nil { // only a malformed pattern is an error: nothing is there
				files = append(files, found...)
			}
		}
	}
	if folder != "" {
		existing(folder)
	}
	for _, in := range p.packages {
		for _, name := range p.names {
			files = append(files, dynlib.InEnvironments(getenv, in+"/"+name)...)
		}
	}
	files = append(files, p.names...)
	for _, in := range p.folders {
		existing(in)
	}
	return files
}
