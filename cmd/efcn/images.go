package main

import (
	"fmt"
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

// in adds the option to a specification of images in files of their own: of the others,
// nothing can be left out.
func (f *skipBad) in(spec string) string {
	if bool(*f) && (strings.HasPrefix(spec, "folder:") || strings.HasPrefix(spec, "parquet:")) {
		return withOption(spec, "skip-bad")
	}
	return spec
}

// withOption adds an option to a specification of images.
func withOption(spec, option string) string {
	separator := "?"
	if strings.Contains(spec, "?") {
		separator = "&"
	}
	return spec + separator + option
}

// noteSkipped says how many images of a set were left out.
func (e *env) noteSkipped(command string, set *data.Set) {
	if set != nil && len(set.Skipped) > 0 {
		fmt.Fprintf(e.err, "efcn %s: %d of %d images left out, which cannot be read; the first: %v\n", command,
			len(set.Skipped), len(set.Skipped)+set.N(), set.Skipped[0])
	}
}
