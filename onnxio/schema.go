package onnxio

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
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
