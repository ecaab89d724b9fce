package convert

import (
	"cmp"
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

// Purpose is what an eFCN is for, which decides what the layout Auto becomes.
type Purpose string

// The purposes. Without one, Auto is dense while that is no more than 256 MiB or 32
// times what the local form takes.
const (
	// ForTraining is dense as far as the budget allows, so that all weights can be
	// trained, and local beyond.
	ForTraining Purpose = "training"
	// ForInference is the smaller of the two forms: what is not stored is not
	// multiplied either.
	ForInference Purpose = "inference"
	// ForVerifier is dense, whatever it takes: verifiers of networks know Gemm and Relu.
	ForVerifier Purpose = "verifier"
)

// Purposes lists what Options.For can be.
func Purposes() []Purpose { return []Purpose{ForTraining, ForInference, ForVerifier} }

// Without a purpose a file is dense up to the larger of these bytes and this many
// times the local form. A dense file of 2.4 GB whose local form has 24 MB takes
// 50 times as long to load, and the same outputs take 100 times the operations.
const (
	autoBytes  = 256 << 20
	autoFactor = 32
)

// Choice says what the layouts that Auto settled are, and what they could have been.
type Choice struct {
	Dense int `json:"dense"` // layers that Auto made dense
	Local int `json:"local"` // layers that Auto made local
	// The weights of the eFCN with all of these layers dense, and with all local.
	AllDense int64 `json:"all_dense_bytes"`
	AllLocal int64 `json:"all_local_bytes"`
}

// chooseLayouts gives the layers that are left to Auto their layouts. Where dense
// is too much, those with the largest saving become local until it is not.
func (p *Plan) chooseLayouts(purpose Purpose) {
	var open []*Layer
	for _, l := range p.Layers {
		if l.Layout == record.Auto {
			l.Layout = record.Dense
			open = append(open, l)
		}
	}
	p.weigh()
	if len(open) == 0 {
		return
	}
	p.Auto = &Choice{AllDense: p.WeightBytes, AllLocal: p.WeightBytes}
	for _, l := range open {
		p.Auto.AllLocal += l.LocalBytes() - l.DenseBytes()
	}
	slices.SortStableFunc(open, func(a, b *Layer) int {
		return cmp.Compare(b.DenseBytes()-b.LocalBytes(), a.DenseBytes()-a.LocalBytes())
	})
	limit, total := p.denseLimit(purpose), p.WeightBytes
	for _, l := range open {
		if total <= limit || l.LocalBytes() >= l.DenseBytes() {
			p.Auto.Dense++
			continue
		}
		total += l.LocalBytes() - l.DenseBytes()
		l.Layout = record.Local
		p.Auto.Local++
	}
	if p.Auto.Local > 0 {
		p.weigh()
	}
}

// denseLimit is how many bytes of weights there may be before Auto becomes local.
func (p *Plan) denseLimit(purpose Purpose) int64 {
	switch purpose {
	case ForVerifier:
		return p.Auto.AllDense
	case ForInference:
		return 0
	case ForTraining:
		return p.MaxBytes
	default:
		return min(p.MaxBytes, max(autoBytes, autoFactor*p.Auto.AllLocal))
	}
}
