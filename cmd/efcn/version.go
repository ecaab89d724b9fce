package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"efcn/internal/cuda"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/internal/ort"
	"efcn/internal/version"
)

// libraries are what efcn looks for when it runs, each with what finds it: its version
// and file, or why it is not there.
var libraries = []struct {
	name string
	find func() (string, error)
}{
	{"matrix products", func() (string, error) { return kernel.BLAS(), nil }},
	{"ONNX Runtime", func() (string, error) {
		l, err := ort.Load("")
		if err != nil {
			return "", err
		}
		return l.String(), nil
	}},
	{"MPI", func() (string, error) { return mpi.Find(mpi.Options{}) }},
	{"CUDA", findDevices},
}

// findDevices returns the version of CUDA, its files, and the GPUs.
func findDevices() (string, error) {
	l, err := cuda.Open(cuda.Options{})
	if err != nil {
		return "", err
	}
	devices, err := l.Devices()
	text := l.String()
	for _, d := range devices {
		text += "; " + d.String()
	}
	return text, err
}

// versioned is what version --json prints.
type versioned struct {
	version.Build
	Libraries []found `json:"libraries,omitempty"` // with -v
}

// found is a library, or why it was not found.
type found struct {
	Name    string `json:"name"`
	Found   string `json:"found,omitempty"`
	Missing string `json:"missing,omitempty"`
}

func newVersion(e *env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and with -v what efcn finds on this machine",
		Long: `version prints the version, the commit it was built from, and the version of Go. -v
adds what multiplies matrices (OpenBLAS where it is found; EFCN_OPENBLAS), ONNX
Runtime (EFCN_ORT), MPI (EFCN_MPI), and CUDA (EFCN_CUDA) with its GPUs, which no
command uses yet; each with version and file, or why it is not found. All of them
are optional.`,
		Args: args(),
		RunE: func(*cobra.Command, []string) error {
			result := versioned{Build: version.Read()}
			if e.verbose {
				result.Libraries = findLibraries()
			}
			if asJSON {
				return printJSON(e.out, result)
			}
			result.print(e)
			return nil
		},
	}
	addJSONFlag(cmd.Flags(), &asJSON)
	return cmd
}

func findLibraries() []found {
	var all []found
	for _, l := range libraries {
		f := found{Name: l.name}
		var err error
		if f.Found, err = l.find(); err != nil {
			f.Missing = oneLine(err)
		}
		all = append(all, f)
	}
	return all
}

func (v *versioned) print(e *env) {
	fmt.Fprintf(e.out, "efcn %s\n", v.Build)
	if !e.verbose {
		return
	}
	if v.Date != "" {
		changed := ""
		if v.Modified {
			changed = ", with changes that are not committed"
		}
		fmt.Fprintf(e.out, "commit of %s%s\n", v.Date, changed)
	}
	for _, l := range v.Libraries {
		if l.Missing != "" {
			fmt.Fprintln(e.out, l.Missing)
		} else {
			fmt.Fprintf(e.out, "%s: %s\n", l.Name, l.Found)
		}
	}
}
