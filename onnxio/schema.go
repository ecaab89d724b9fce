package onnxio

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"efcn/onnxio/internal/schema"
)

// OpSchema is the signature of one version of an operator, as the ONNX project
// publishes it.
type OpSchema struct {
	Domain       string // "" for ai.onnx
	Name         string
	SinceVersion int64 // the operator set that this version of it came with
	Deprecated   bool

	MinInputs, MaxInputs   int // a maximum of -1 is any number
	MinOutputs, MaxOutputs int
	MostInputs             int               // MaxInputs of the version that takes most
	Attributes             []AttributeSchema // by name

	leading int // of the first inputs, how many may be left out
}

// AttributeSchema is what an operator says of one of its attributes.
type AttributeSchema struct {
	Name     string
	Type     AttributeType
	Required bool
}

// Attribute returns what the operator says of the attribute of that name.
func (s *OpSchema) Attribute(name string) (AttributeSchema, bool) {
	for _, a := range s.Attributes {
		if a.Name == name {
			return a, true
		}
	}
	return AttributeSchema{}, false
}

// LookupOp returns the signature that an operator has in version opset of the
// operator set of a domain, and false if the ONNX project knows none. Known are
// its domains: ai.onnx (""), ai.onnx.ml and the previews. An opset newer than
// LatestOpset has the operators of that.
func LookupOp(domain, opType string, opset int64) (*OpSchema, bool) {
	var found *OpSchema
	for _, s := range schemas().ops[opKey{CanonicalDomain(domain), opType}] {
		if s.SinceVersion <= opset {
			found = s
		}
	}
	return found, found != nil
}

// The versions of the default operator set whose operators the packages of this
// module have rules for. Before, broadcasting and BatchNormalization mean something
// else; a newer one may change what an operator means, so it is refused.
const (
	OldestOpset = 7
	NewestOpset = 28
)

// SupportedOp returns the signature that the operator of a node has in version opset
// of the default operator set, or one of RanksDomain. It is an error if that is not one
// of the versions from OldestOpset to NewestOpset, or has no such operator: it is of
// another domain, or came later, or has been withdrawn.
func SupportedOp(n *Node, opset int64) (*OpSchema, error) {
	if opset < OldestOpset || opset > NewestOpset {
		return nil, fmt.Errorf("opset %d is not supported; export the model with opset %d to %d", opset, OldestOpset,
			NewestOpset)
	}
	if s := ranksSchemas[n.OpType]; s != nil && n.Domain == RanksDomain {
		return s, nil
	}
	if CanonicalDomain(n.Domain) != "" {
		return nil, errors.New("unknown operator")
	}
	s, ok := LookupOp("", n.OpType, opset)
	if !ok {
		return nil, unknownOp(n, opset)
	}
	// Some versions in between are deprecated in favour of the next one.
	if versions := versionsOf(n); s.Deprecated && s == versions[len(versions)-1] {
		return nil, fmt.Errorf("the operator is deprecated since operator set %d, and the model imports %d",
			s.SinceVersion, opset)
	}
	return s, nil
}

// versionsOf returns the signatures of the operator of a node, oldest first.
func versionsOf(n *Node) []*OpSchema {
	return schemas().ops[opKey{CanonicalDomain(n.Domain), n.OpType}]
}

// unknownOp says why version opset of its operator set does not have a node's
// operator.
func unknownOp(n *Node, opset int64) error {
	versions := versionsOf(n)
	if len(versions) == 0 {
		return errors.New("unknown operator")
	}
	return fmt.Errorf("the operator came with operator set %d, and the model imports %d", versions[0].SinceVersion,
		opset)
}

// CheckArity returns an error if a node has other numbers of inputs or outputs than
// its operator, or leaves out an input that the operator needs.
func (s *OpSchema) CheckArity(n *Node) error {
	for _, err := range s.arityErrors(n) {
		return err
	}
	return nil
}

func (s *OpSchema) arityErrors(n *Node) []error {
	var errs []error
	count := func(what string, got, low, high int) {
		switch {
		case high < 0 && got < low:
			errs = append(errs, fmt.Errorf("%d %s; want at least %d", got, what, low))
		case high >= 0 && low == high && got != low:
			errs = append(errs, fmt.Errorf("%d %s; want %d", got, what, low))
		case high >= 0 && (got < low || got > high):
			errs = append(errs, fmt.Errorf("%d %s; want %d to %d", got, what, low, high))
		}
	}
	count("inputs", len(n.Inputs), s.MinInputs, s.MaxInputs)
	count("outputs", len(n.Outputs), s.MinOutputs, s.MaxOutputs)
	for i := s.leading; i < min(s.MinInputs, len(n.Inputs)); i++ {
		if n.Inputs[i] == "" {
			errs = append(errs, fmt.Errorf("input %d is left out, but the operator needs it", i))
		}
	}
	return errs
}

// LatestOpset returns the newest version of a domain's operator set that
// LookupOp knows, 0 for a domain that it doesn't know.
func LatestOpset(domain string) int64 {
	return schemas().latest[CanonicalDomain(domain)]
}

type opKey struct{ domain, name string }

type schemaTable struct {
	ir     int64                 // the newest IR version
	latest map[string]int64      // operator set, by domain
	ops    map[opKey][]*OpSchema // oldest version first
}

// schemas is the embedded table, unpacked when it is first needed.
var schemas = sync.OnceValue(func() *schemaTable {
	t, err := parseSchemas(schema.Table)
	if err != nil { // the table is part of the program
		panic(fmt.Sprintf("onnxio: operator schemas: %v", err))
	}
	return t
})

func parseSchemas(packed []byte) (*schemaTable, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var file struct {
		IR     int64
		Latest map[string]int64
		Ops    [][]json.RawMessage
	}
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		return nil, err
	}
	t := &schemaTable{ir: file.IR, latest: file.Latest, ops: make(map[opKey][]*OpSchema)}
	for _, row := range file.Ops {
		s, err := parseSchema(row)
		if err != nil {
			return nil, err
		}
		key := opKey{s.Domain, s.Name}
		t.ops[key] = append(t.ops[key], s)
	}
	for _, versions := range t.ops {
		// As unsigned numbers, -1 is the largest.
		widest := slices.MaxFunc(versions,
			func(a, b *OpSchema) int { return cmp.Compare(uint(a.MaxInputs), uint(b.MaxInputs)) })
		for _, s := range versions {
			s.MostInputs = widest.MaxInputs
		}
	}
	return t, nil
}

// parseSchema reads one row of the table: see make_schemas.py.
func parseSchema(row []json.RawMessage) (*OpSchema, error) {
	var s OpSchema
	var deprecated int
	var attributes map[string]int
	columns := []any{
		&s.Domain, &s.Name, &s.SinceVersion,
		&s.MinInputs, &s.MaxInputs, &s.MinOutputs, &s.MaxOutputs,
		&s.leading, &deprecated, &attributes,
	}
	if len(row) != len(columns) {
		return nil, fmt.Errorf("a row of %d columns, want %d", len(row), len(columns))
	}
	for i, c := range columns {
		if err := json.Unmarshal(row[i], c); err != nil {
			return nil, err
		}
	}
	s.Deprecated = deprecated != 0
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		code := attributes[name]
		s.Attributes = append(s.Attributes, AttributeSchema{name, AttributeType(max(code, -code)), code < 0})
	}
	return &s, nil
}
