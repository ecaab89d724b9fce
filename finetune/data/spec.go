package data

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// options are what follows the question mark of a specification.
type options struct {
	limit     int // 0 for all
	nhwc      bool
	auto      bool
	mean, std []float64 // nil unless given
}

// Open reads the data that spec names; see the package comment for its form.
// Errors name the file, and the offset where one is too short.
func Open(spec string) (*Set, error) { return open(spec, nil) }

// OpenTest is Open for the test set that belongs to train: normalize=auto takes
// the mean and standard deviation that train was normalised with.
func OpenTest(spec string, train *Set) (*Set, error) { return open(spec, train) }

func open(spec string, train *Set) (*Set, error) {
	source, query, _ := strings.Cut(spec, "?")
	kind, rest, ok := strings.Cut(source, ":")
	if !ok {
		return nil, fmt.Errorf("data %q: no kind; want idx:IMAGES,LABELS or npz:FILE", spec)
	}
	o, err := parseOptions(query)
	if err != nil {
		return nil, fmt.Errorf("data %q: %w", spec, err)
	}
	var s *Set
	switch kind {
	case "idx":
		images, labels, ok := strings.Cut(rest, ",")
		if !ok || images == "" || labels == "" || strings.Contains(labels, ",") {
			return nil, fmt.Errorf("data %q: want two files, idx:IMAGES,LABELS", spec)
		}
		s, err = openIDX(images, labels, o)
	case "npz":
		s, err = openNPZ(rest, o)
	default:
		return nil, fmt.Errorf("data %q: kind %q is not known; idx and npz are", spec, kind)
	}
	if err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("data %q: %w", spec, err)
	}
	switch {
	case o.auto && train == nil:
		if o.mean, o.std, err = s.moments(o.nhwc); err != nil {
			return nil, fmt.Errorf("data %q: %w", spec, err)
		}
	case o.auto && train.Mean == nil:
		return nil, fmt.Errorf("data %q: normalize=auto takes the figures of the training set, which was not normalised", spec)
	case o.auto:
		o.mean, o.std = train.Mean, train.Std
	}
	if o.mean != nil {
		if err := s.normalize(o.mean, o.std, o.nhwc); err != nil {
			return nil, fmt.Errorf("data %q: %w", spec, err)
		}
	}
	return s, nil
}

func parseOptions(query string) (options, error) {
	var o options
	if query == "" {
		return o, nil
	}
	seen := make(map[string]bool)
	for option := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		if seen[key] {
			return o, fmt.Errorf("option %q is given twice", key)
		}
		seen[key] = true
		var err error
		switch key {
		case "normalize":
			err = o.parseNormalize(value)
		case "limit":
			o.limit, err = strconv.Atoi(value)
			if err != nil || o.limit < 1 {
				err = fmt.Errorf("limit=%s: want a number from 1", value)
			}
		case "layout":
			switch value {
			case "nchw":
			case "nhwc":
				o.nhwc = true
			default:
				err = fmt.Errorf("layout=%s: want nchw or nhwc", value)
			}
		default:
			err = fmt.Errorf("option %q is not known; normalize, limit and layout are", key)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *options) parseNormalize(value string) error {
	switch value {
	case "none":
		return nil
	case "auto":
		o.auto = true
		return nil
	}
	mean, std, ok := strings.Cut(value, "/")
	if !ok {
		return fmt.Errorf("normalize=%s: want MEAN/STD, auto or none", value)
	}
	var err error
	if o.mean, err = parseFloats(mean); err != nil {
		return fmt.Errorf("normalize=%s: mean: %w", value, err)
	}
	if o.std, err = parseFloats(std); err != nil {
		return fmt.Errorf("normalize=%s: standard deviation: %w", value, err)
	}
	for _, s := range o.std {
		if s <= 0 {
			return fmt.Errorf("normalize=%s: standard deviation %v; want one above 0", value, s)
		}
	}
	return nil
}

func parseFloats(list string) ([]float64, error) {
	var values []float64
	for field := range strings.SplitSeq(list, ",") {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%q is no number", field)
		}
		values = append(values, v)
	}
	return values, nil
}
