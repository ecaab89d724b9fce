package finetune

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"efcn/convert/affine"
	"efcn/convert/record"
	"efcn/onnxio"
)

// What can be trained, besides the layers that a pattern names.
const (
	TrainAll = "all"
	// TrainLocal trains the support of embedded layers and everything that is
	// not embedded: the eLCN, whatever the layout. Of a factored layer that is what
	// its local form stores; U and V stay as they are, and so do the entries that a
	// sparse layer has outside the support.
	TrainLocal = "local"
	// TrainOffLocal trains what lies outside the support of embedded layers,
	// and nothing else.
	TrainOffLocal = "off-local"
	// TrainTied moves an eFCN along the CNN subspace: what is tied there, in
	// embedded layers and their biases, follows the mean of its gradients, and
	// what lies outside the support is frozen. So is a vector over all
	// positions that the record does not describe, such as a
	// BatchNormalization that was written out.
	TrainTied = "tied"
)

// LayoutError is the refusal of a layer in a form that cannot be trained as the
// options have it.
type LayoutError struct {
	Train  string        // what was to be trained: see [Options]
	Reinit bool          // with new weights
	Layout record.Layout // the form of the layer
	Bytes  int64         // of its weights; 0 if that is not known
	// Want is a form that could be trained so, and the bytes that it takes.
	Want      record.Layout
	WantBytes int64
}

func (e *LayoutError) Error() string {
	if e.Reinit {
		which := ""
		if e.Layout == record.Sparse {
			which = " with entries outside the support"
		}
		return fmt.Sprintf("reinit: new weights of %s layers%s are not local; train all, or a model with %s layers",
			e.Layout, which, e.Want)
	}
	text := fmt.Sprintf("train %s needs the %s form", e.Train, e.Want)
	if e.WantBytes > 0 {
		text += fmt.Sprintf(", which takes %d bytes (%s: %d)", e.WantBytes, e.Layout, e.Bytes)
	}
	return text + fmt.Sprintf("; train local, or a model with %s layers", e.Want)
}

// subset says which weights of a model are trained.
type subset struct {
	what    string          // as it was asked for
	mode    string          // one of the above, or "" with named
	named   map[string]bool // initializers that a pattern names
	weights map[string]*record.Layer
	biases  map[string]*record.Layer
	factors map[string]bool // U and V of factored layers
	free    map[string]bool // values that fully-connected layers of the CNN compute
	maps    map[string]*affine.Map
	sparse  map[string]*sparseMatrix
}

// newSubset reads what to train. It refuses what the layouts of an eFCN do not
// allow.
func newSubset(what string, nodes []*onnxio.Node, rec *record.Record, chains map[*onnxio.Node]*localChain,
	sparse map[string]*sparseMatrix,
) (*subset, error) {
	if what == "" {
		what = TrainAll
	}
	s := &subset{
		what: what, mode: what, sparse: sparse,
		weights: map[string]*record.Layer{}, biases: map[string]*record.Layer{}, factors: map[string]bool{},
		free: map[string]bool{}, maps: map[string]*affine.Map{},
	}
	switch what {
	case TrainAll, TrainLocal, TrainOffLocal, TrainTied:
	default:
		s.mode = ""
		return s, s.match(what, nodes, chains)
	}
	if rec == nil {
		if what != TrainAll {
			return nil, fmt.Errorf("train %s: the model is no eFCN, its metadata has no record; train all or layers by name",
				what)
		}
		return s, nil
	}
	var errs []error
	for i := range rec.Layers {
		l := &rec.Layers[i]
		m, err := l.Support()
		if err != nil {
			errs = append(errs, fmt.Errorf("layer %q: %w", l.Node, err))
			continue
		}
		if err := s.allows(l, m); err != nil {
			errs = append(errs, fmt.Errorf("layer %q: %w", l.Node, err))
			continue
		}
		s.weights[l.Weight], s.maps[l.Weight] = l, m
		if l.Layout == record.Factored {
			s.factors[l.Left], s.factors[l.Right] = true, true
		}
		if l.Bias != "" {
			s.biases[l.Bias] = l
		}
		if l.Connected() {
			s.free[l.Output] = true
		}
	}
	return s, errors.Join(errs...)
}

// allows returns an error unless a layer with support m can be trained in this mode.
func (s *subset) allows(l *record.Layer, m *affine.Map) error {
	if l.Layout == record.Factored && s.mode == TrainAll {
		return nil
	}
	local := l.Layout.LocalForm() || l.Layout == record.Sparse
	if m == nil {
		if s.mode == TrainAll && !local || s.mode == TrainLocal && local {
			return nil
		}
		if s.mode == TrainAll {
			return &LayoutError{Train: s.mode, Layout: l.Layout, Want: record.Dense}
		}
		return fmt.Errorf("the record does not hold the geometry of %s; train all or layers by name", l.Op)
	}
	if local && !l.Connected() && (s.mode == TrainAll || s.mode == TrainOffLocal) {
		return &LayoutError{
			Train: s.mode, Layout: l.Layout, Bytes: s.localBytes(l, m), Want: record.Dense, WantBytes: m.DenseBytes(),
		}
	}
	return nil
}

// localBytes is the size of the weights of a layer that is local or sparse.
func (s *subset) localBytes(l *record.Layer, m *affine.Map) int64 {
	if l.Layout == record.Sparse {
		entries := m.NonZeros()
		if matrix := s.sparse[l.Weight]; matrix != nil { // some may be outside the support
			entries = int64(matrix.Starts[matrix.Rows])
		}
		return 12 * entries
	}
	n := int64(4)
	dims, _ := m.LocalDims()
	for _, d := range dims {
		n *= d
	}
	return n
}

// match finds the layers whose name has the form of a pattern, in which *
// stands for any characters, slashes too, and ? for one.
func (s *subset) match(pattern string, nodes []*onnxio.Node, chains map[*onnxio.Node]*localChain) error {
	quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	form := regexp.MustCompile(`(?s)^` + quoted + `$`)
	s.named = map[string]bool{}
	for _, c := range chains {
		if form.MatchString(c.record.Node) {
			for _, name := range []string{c.record.Weight, c.record.Bias, c.record.Left, c.record.Right} {
				s.named[name] = true
			}
		}
	}
	for _, n := range nodes {
		if chains[n] == nil && form.MatchString(n.Label()) {
			for _, in := range n.Inputs {
				s.named[in] = true
			}
		}
	}
	if len(s.named) == 0 {
		return fmt.Errorf("train %q: want all, local, off-local, tied or the name of a node, with * and ?; "+
			"none has that name", pattern)
	}
	delete(s.named, "")
	return nil
}

// selectEntries decides what of a parameter is trained.
func selectEntries[T float32 | float64](s *subset, p *parameter[T]) error {
	name := p.name
	switch weight, bias := s.weights[name], s.biases[name]; {
	case s.mode == "":
		p.frozen = !s.named[name]
	case s.mode == TrainAll:
	case s.factors[name]:
		p.frozen = true
	case weight != nil && weight.Connected():
		p.frozen = s.mode == TrainOffLocal
	case weight != nil:
		return selectMatrix(s, p, weight, s.maps[name])
	case s.mode == TrainOffLocal:
		p.frozen = true
	case bias != nil && s.mode == TrainTied && !bias.Connected():
		p.tie = &tie{block: s.maps[bias.Weight].Taps.Out}
	}
	return nil
}

// mayTie reports whether a vector cannot be trained because its entries may be tied in
// a way that the record does not describe. It is as long as the value that it is added
// to or multiplied with; source is the input of the layer that computes that.
func (s *subset) mayTie(vector, source string) bool {
	return s.mode == TrainTied && s.biases[vector] == nil && !s.free[source]
}

// selectMatrix decides on the weights of an embedded layer.
func selectMatrix[T float32 | float64](s *subset, p *parameter[T], l *record.Layer, m *affine.Map) error {
	switch {
	case l.Layout.LocalForm() && s.mode == TrainTied:
		p.tie = tieLocal(m)
		return nil
	case l.Layout.LocalForm():
		return nil
	case l.Layout == record.Sparse:
		matrix := s.sparse[l.Weight]
		if matrix.inside != nil {
			p.mask = &mask{support: m, stored: matrix.inside}
		}
		if s.mode == TrainTied {
			p.tie = tieSparse(m, matrix)
		}
		return nil
	}
	if len(p.values) != m.Rows()*m.Cols() {
		return fmt.Errorf("layer %q: %d weights, the record is of a %d×%d matrix", l.Node, len(p.values), m.Rows(), m.Cols())
	}
	p.mask = &mask{support: m, outside: s.mode == TrainOffLocal}
	if s.mode == TrainTied {
		p.tie = tieDense(m)
	}
	return nil
}
