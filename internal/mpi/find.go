package mpi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"efcn/internal/dynlib"
)

// NotFoundError reports that no MPI library is there to be loaded.
type NotFoundError struct {
	Why string // what was looked for, or why nothing was, and what would help
}

func (e *NotFoundError) Error() string { return e.Why }

// LibraryError reports that a library that was named cannot be loaded, or is no MPI.
type LibraryError struct {
	File string
	Err  error
}

func (e *LibraryError) Error() string { return fmt.Sprintf("MPI: %s: %v", e.File, e.Err) }

func (e *LibraryError) Unwrap() error { return e.Err }

// find loads file, or if that is "" the library that EFCN_MPI names, or else the
// first that is there.
func find(file string, getenv func(string) string) (*library, error) {
	if file == "" {
		file = getenv("EFCN_MPI")
		if file == "off" {
			return nil, &NotFoundError{"MPI is switched off by EFCN_MPI=off; unset that"}
		}
	}
	if file != "" {
		l, err := open(file)
		if err != nil {
			return nil, &LibraryError{file, err}
		}
		return l, nil
	}
	var failed strings.Builder
	for _, file := range candidates(getenv, launcherFolder()) {
		l, err := open(file)
		if err == nil {
			return l, nil
		}
		if _, missing := os.Stat(file); missing == nil {
			fmt.Fprintf(&failed, " (%s: %v)", file, err)
		}
	}
	return nil, &NotFoundError{fmt.Sprintf("MPI is not found: no %s beside the launcher, "+
		"in an active environment or where the system looks for libraries%s; "+
		"load the cluster's module of MPI, or set EFCN_MPI=FILE",
		strings.Join(libraryNames(getenv), " or "), failed.String())}
}

// libraryNames lists what the shared library is called, that of the launcher first.
func libraryNames(getenv func(string) string) []string {
	const (
		openMPI  = "libmpi.so.40"
		mpich    = "libmpi.so.12" // and Intel's
		debian   = "libmpich.so.12"
		standard = "libmpi_abi.so.1"
		any      = "libmpi.so"
	)
	if launched(getenv).variable == "PMI_SIZE" {
		return []string{mpich, debian, standard, any, openMPI}
	}
	return []string{openMPI, mpich, debian, standard, any}
}

// candidates lists files to try. launcher is the folder of the program that started
// this process, or "".
func candidates(getenv func(string) string, launcher string) []string {
	var folders []string
	if launcher != "" {
		folders = append(folders, filepath.Join(filepath.Dir(launcher), "lib"))
	}
	for _, root := range dynlib.Environments(getenv) {
		folders = append(folders, filepath.Join(root, "lib"))
	}
	var files []string
	for _, folder := range folders {
		for _, name := range libraryNames(getenv) {
			file := filepath.Join(folder, name)
			if _, err := os.Stat(file); err == nil {
				files = append(files, file)
			}
		}
	}
	return append(files, libraryNames(getenv)...)
}

// launcherFolder is where the program is that started this process, or "" if that
// cannot be told.
func launcherFolder() string {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", os.Getppid()))
	if err != nil {
		return ""
	}
	return filepath.Dir(program)
}

// open loads file and looks its functions up.
func open(file string) (*library, error) {
	handle, err := loadLibrary(file)
	if err != nil {
		return nil, err
	}
	return newLibrary(handle, file)
}
