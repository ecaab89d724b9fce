package convert

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"efcn/convert/record"
)

// layoutOf returns the layout that the options ask for the layer of that name.
func (o Options) layoutOf(label string) record.Layout {
	if l, ok := o.Layers[label]; ok {
		return l
	}
	if o.Only != "" && !globs(o.Only, label) {
		return record.Keep
	}
	if o.Layout == "" {
		return record.Auto
	}
	return o.Layout
}

// askedToBeKept is why a layer is kept that could be embedded.
const askedToBeKept = "asked to be kept"

// globs reports whether a name has the form of a pattern, in which * stands for
// any characters, slashes too, and ? for one.
func globs(pattern, name string) bool {
	expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`(?s)^` + expr + `$`).MatchString(name)
}

// checkLayers reports names in Options.Layers that no linear layer has, and an
// Options.Only that none fits.
func (p *Plan) checkLayers(o Options) error {
	var names []string
	for _, l := range p.Layers {
		names = append(names, l.Node)
		for _, f := range l.Factors {
			if !slices.Contains(names, f.Node) {
				names = append(names, f.Node)
			}
		}
	}
	for _, k := range p.Kept {
		if k.Why == askedToBeKept {
			names = append(names, k.Node)
		}
	}
	for _, label := range slices.Sorted(maps.Keys(o.Layers)) {
		if slices.Contains(names, label) {
			continue
		}
		i := slices.IndexFunc(p.Kept, func(k Kept) bool { return k.Node == label })
		switch layout := o.Layers[label]; {
		case i < 0:
			return fmt.Errorf("layer %q: the model has none of that name; it has %q", label, names)
		case layout != record.Keep && layout != record.Auto:
			return fmt.Errorf("layer %q: layout %s: it has no matrix (%s); leave the layout out", label, layout,
				p.Kept[i].Why)
		}
	}
	fits := func(name string) bool { return globs(o.Only, name) }
	if o.Only != "" && len(names) > 0 && !slices.ContainsFunc(names, fits) {
		return fmt.Errorf("no layer's name fits %q; they are %q", o.Only, names)
	}
	return nil
}

// bytesIn is the size of the layer's matrix in a layout.
func (l *Layer) bytesIn(layout record.Layout) int64 {
	switch {
	case l.weights == nil:
		return l.DenseBytes()
	case layout == record.Sparse:
		return l.SparseBytes()
	case layout == record.Local:
		return l.LocalBytes()
	case layout == record.Factored:
		return l.FactoredBytes()
	default:
		return l.DenseBytes()
	}
}
