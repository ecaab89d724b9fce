package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"efcn/convert/record"
	"efcn/onnxio/shape"
)

func addJSONFlag(flags *pflag.FlagSet, asJSON *bool) {
	flags.BoolVar(asJSON, "json", false, "print one JSON document")
}

func addOutputFlag(flags *pflag.FlagSet, path *string) {
	flags.StringVarP(path, "output", "o", "", "file to write; - is stdout")
}

func addShapeFlags(flags *pflag.FlagSet, shapes *inputShapes, batch *batchAxes) {
	flags.Var(shapes, "input-shape", "shape of an input, as NAME=1x3x32x32; ? leaves a dimension open")
	flags.Var(batch, "batch-axis", "which axis of an input is the batch, as NAME=1, or NAME=none; default the first")
}

// byteSize is a flag for a number of bytes: 2GiB, 500MB, 1048576.
type byteSize int64

var byteUnits = map[string]float64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
	"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
}

func (b *byteSize) Set(s string) error {
	end := strings.LastIndexAny(s, "0123456789.") + 1
	unit, ok := byteUnits[strings.ToUpper(strings.TrimSpace(s[end:]))]
	n, err := strconv.ParseFloat(s[:end], 64)
	if !ok || err != nil || n < 0 || n*unit >= math.MaxInt64 {
		return fmt.Errorf("want a number of bytes such as 2GiB, 500MB or 1048576")
	}
	*b = byteSize(n * unit)
	return nil
}

func (b *byteSize) String() string { return formatBytes(int64(*b)) }
func (b *byteSize) Type() string   { return "BYTES" }

// splitNamed splits NAME=VALUE. The name may itself hold an equals sign, the value cannot.
// A name that is among those given before is refused; what says what it is one of.
func splitNamed[V any](s, want, what string, given map[string]V) (name, value string, err error) {
	at := strings.LastIndex(s, "=")
	if at < 1 {
		return "", "", fmt.Errorf("want %s", want)
	}
	name = s[:at]
	if _, ok := given[name]; ok {
		return "", "", fmt.Errorf("%s %q is given twice", what, name)
	}
	return name, s[at+1:], nil
}

// inputShapes is a flag, given once an input, that fixes an input's shape:
// NAME=1x3x32x32, with ? for a dimension that stays open.
type inputShapes map[string][]int64

func (f *inputShapes) Set(s string) error {
	name, text, err := splitNamed(s, "NAME=1x3x32x32", "input", *f)
	if err != nil {
		return err
	}
	var dims []int64
	for field := range strings.SplitSeq(text, "x") {
		d, err := strconv.ParseInt(field, 10, 64)
		switch {
		case field == "?":
			d = -1
		case err != nil || d < 1:
			return fmt.Errorf("dimension %q; want NAME=1x3x32x32, each a number from 1 or ?", field)
		}
		dims = append(dims, d)
	}
	if *f == nil {
		*f = make(inputShapes)
	}
	(*f)[name] = dims
	return nil
}

func (f *inputShapes) String() string { return "" }
func (f *inputShapes) Type() string   { return "NAME=DIMS" }

// batchAxes is a flag, given once an input, for the axis of it that is the batch:
// NAME=1, or NAME=none.
type batchAxes map[string]int

func (f *batchAxes) Set(s string) error {
	name, text, err := splitNamed(s, "NAME=AXIS or NAME=none", "input", *f)
	if err != nil {
		return err
	}
	axis := shape.NoBatch
	if text != "none" {
		if axis, err = strconv.Atoi(text); err != nil || axis < 0 {
			return fmt.Errorf("axis %q; want a number from 0, or none", text)
		}
	}
	if *f == nil {
		*f = make(batchAxes)
	}
	(*f)[name] = axis
	return nil
}

func (f *batchAxes) String() string { return "" }
func (f *batchAxes) Type() string   { return "NAME=AXIS" }

// oneOf is a flag with a fixed set of values.
type oneOf struct {
	value   string
	allowed []string
	instead map[string]string // what is said of others that may be expected
}

func (f *oneOf) Set(s string) error {
	if text := f.instead[s]; text != "" {
		return errors.New(text)
	}
	if !slices.Contains(f.allowed, s) {
		return fmt.Errorf("want %s%s", strings.Join(f.allowed, ", "), didYouMean(s, f.allowed))
	}
	f.value = s
	return nil
}

func (f *oneOf) String() string { return f.value }
func (f *oneOf) Type() string   { return strings.Join(f.allowed, "|") }

// choice is a flag for one of the values of a type; "" where value is, for none.
func choice[S ~string](value S, allowed ...S) oneOf {
	f := oneOf{value: string(value)}
	for _, v := range allowed {
		f.allowed = append(f.allowed, string(v))
	}
	return f
}

func newLayout() oneOf { return choice(record.Auto, record.Layouts()...) }

// layerLayouts is a flag, given once a layer, that says which layout it gets, and of a
// factored one which rank: NODE=LAYOUT, NODE=factored:16.
type layerLayouts struct {
	layouts map[string]record.Layout
	ranks   map[string]int
}

func (f *layerLayouts) Set(s string) error {
	name, text, err := splitNamed(s, "NODE=LAYOUT", "layer", f.layouts)
	if err != nil {
		return err
	}
	layout := newLayout()
	text, rank, ranked := strings.Cut(text, ":")
	if err := layout.Set(text); err != nil {
		return fmt.Errorf("layout %q: %w", text, err)
	}
	if f.layouts == nil {
		f.layouts, f.ranks = make(map[string]record.Layout), make(map[string]int)
	}
	f.layouts[name] = record.Layout(layout.value)
	if !ranked {
		return nil
	}
	if f.layouts[name] != record.Factored {
		return fmt.Errorf("layer %q: %s has no rank; want factored:R", name, text)
	}
	var r layerRank
	if err := r.Set(rank); err != nil {
		return fmt.Errorf("rank %q: %w", rank, err)
	}
	f.ranks[name] = int(r)
	return nil
}

func (f *layerLayouts) String() string { return "" }
func (f *layerLayouts) Type() string   { return "NODE=LAYOUT" }

// layerRank is a flag for the rank of factored layers; 0 where it is not given.
type layerRank int

func (r *layerRank) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return fmt.Errorf("want a number from 1")
	}
	*r = layerRank(n)
	return nil
}

func (r *layerRank) String() string { return "" }
func (r *layerRank) Type() string   { return "R" }
