package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"efcn/internal/engines"
	"efcn/internal/kernel"
	"efcn/onnxio"
)

// engineFlags choose what runs a model.
type engineFlags struct {
	engine  oneOf  // Default embedded.
	library string // Default "": it is looked for.
}

func (f *engineFlags) addFlags(flags *pflag.FlagSet) {
	f.engine = oneOf{value: engines.Embedded, allowed: engines.Names()}
	flags.Var(&f.engine, "engine", "what runs the model")
	addLibraryFlag(flags, &f.library)
}

func addLibraryFlag(flags *pflag.FlagSet, library *string) {
	flags.StringVar(library, "ort-lib", "",
		"shared library of ONNX Runtime (default: $EFCN_ORT, an active Python environment's, the system's)")
}

func (f *engineFlags) validate() error {
	return checkLibraryFlag(f.library, []string{f.engine.value})
}

// checkLibraryFlag refuses --ort-lib where nothing asks for that library.
func checkLibraryFlag(library string, names []string) error {
	if library != "" &&
		!slices.ContainsFunc(names, func(s string) bool { return strings.Contains(s, engines.ONNXRuntime) }) {
		return usagef("--ort-lib is the library of --engine %s", engines.ONNXRuntime)
	}
	return nil
}

// open makes a model ready in the engine that was chosen; of several ranks, each has its
// part of it ready.
func (f *engineFlags) open(ctx context.Context, e *env, m *onnxio.Model, double bool) (*engines.Session, error) {
	if e.world != nil {
		var err error
		if m, err = e.cut(m); err != nil {
			return nil, err
		}
	}
	s, err := engines.Options{
		Float64: double, Library: f.library, Threads: kernel.Threads(), World: e.world, Pack: e.world == nil,
	}.Open(ctx, f.engine.value, m)
	if err == nil {
		e.logf("engine %s: %s", s.Name(), s)
	}
	return s, err
}
