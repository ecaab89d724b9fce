// Package profile writes the CPU profiles of the measurements.
package profile

import (
	"os"
	"runtime/pprof"
)

// Start profiles into a new file until stop is called; with path "", nothing.
func Start(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
