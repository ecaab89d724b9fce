package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"efcn/finetune/data"
)

// skipBad is the flag of every command that reads images: what cannot be read is
// left out.
type skipBad bool

func (f *skipBad) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar((*bool)(f), "skip-bad", false,
		"leave out images that cannot be read, and count them; as skip-bad in SPEC")
}

// in adds the option to a specification that does not have it. Of a kind that cannot have
// it, opening refuses it.
func (f *skipBad) in(spec string) string {
	_, options, _ := strings.Cut(spec, "?")
	if !bool(*f) || spec == "" || slices.Contains(strings.Split(options, "&"), "skip-bad") {
		return spec
	}
	return withOption(spec, "skip-bad")
}

// withOption adds an option to a specification of images.
func withOption(spec, option string) string {
	separator := "?"
	if strings.Contains(spec, "?") {
		separator = "&"
	}
	return spec + separator + option
}

// noteSkipped prints how many images of a set were left out; spec is what the user calls
// the set.
func (e *env) noteSkipped(command, spec string, set *data.Set) {
	if set != nil && len(set.Skipped) > 0 {
		e.notef("efcn %s: %s: %d of %d images left out, which cannot be read; the first: %v", command, spec,
			len(set.Skipped), len(set.Skipped)+set.N(), set.Skipped[0])
	}
}
