package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/finetune/relax"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// documents are what the commands print with --json. One that prints other things by its
// flags has several.
var documents = map[string][]any{
	"check":       {checked{}},
	"compress":    {compressed{}},
	"convert":     {converted{}, compressed{}},
	"eval":        {evaluated{}},
	"export":      {exported{}},
	"finetune":    {tuned{}},
	"inspect":     {summary{}},
	"interpolate": {interpolated{}},
	"measure":     {deviated{}},
	"merge":       {studied{}},
	"project":     {projected{}},
	"relax":       {studied{}, relax.Estimate{}},
	"report":      {reported{}},
	"run":         {ran{}},
	"verify":      {verify.Report{}, compared{}},
	"version":     {versioned{}},
}

// added are the members that a type with a MarshalJSON of its own has besides its fields.
var added = map[reflect.Type]map[string]any{
	reflect.TypeFor[verify.Report](): {"equal": kind("boolean"), "verdict": kind("string")},
	reflect.TypeFor[convert.Layer](): {
		"density": kind("number"), "dense_bytes": kind("integer"), "sparse_bytes": kind("integer"),
		"local_bytes": kind("integer"), "factored_bytes": kind("integer"),
	},
}

func kind(name string) map[string]any { return map[string]any{"type": name} }

// schema makes a JSON Schema of what encoding/json makes of a type.
type schema struct {
	t    *testing.T
	defs map[string]any
}

func (s *schema) of(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[verify.Figure]():
		return map[string]any{"oneOf": []any{kind("number"), map[string]any{"enum": []any{"NaN", "Infinity", "-Infinity"}}}}
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		name := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:] + "." + t.Name()
		if _, ok := s.defs[name]; !ok {
			s.defs[name] = nil // of a type within itself
			s.defs[name] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	}
	for _, own := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(own) || reflect.PointerTo(t).Implements(own) {
			s.t.Fatalf("%v encodes itself; say here what it becomes", t)
		}
	}
	switch t.Kind() {
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Array:
		return map[string]any{"type": "array", "items": s.of(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Bool:
		return kind("boolean")
	case reflect.String:
		return kind("string")
	case reflect.Float32, reflect.Float64:
		return kind("number")
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64, reflect.Uint8:
		return kind("integer")
	default:
		s.t.Fatalf("%v has no place in a document", t)
		return nil
	}
}

func (s *schema) object(t reflect.Type) map[string]any {
	_, custom := added[t]
	if marshals := reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()); marshals != custom {
		s.t.Fatalf("%v: it encodes itself: %t, and there are members for it: %t", t, marshals, custom)
	}
	properties := maps.Clone(added[t])
	if properties == nil {
		properties = map[string]any{}
	}
	required := slices.AppendSeq([]string{}, maps.Keys(properties))
	s.fields(t, properties, &required)
	slices.Sort(required)
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

func (s *schema) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.fields(inner, properties, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		of := s.of(f.Type)
		switch leaves := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"); {
		case !leaves && slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, f.Type.Kind()):
			of = map[string]any{"oneOf": []any{of, kind("null")}}
			fallthrough
		case !leaves:
			*required = append(*required, name)
		}
		properties[name] = of
	}
}

func (s *schema) document(command string, values []any) []byte {
	s.defs = map[string]any{}
	var all []any
	for _, v := range values {
		all = append(all, s.of(reflect.TypeOf(v)))
	}
	root := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "efcn " + command + " --json",
		"oneOf": all, "$defs": s.defs,
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		s.t.Fatal(err)
	}
	return b.Bytes()
}

const schemas = "../../docs/schemas"

// TestSchemas compares the schemas in docs with the types that the commands print.
func TestSchemas(t *testing.T) {
	if *update {
		if err := os.MkdirAll(schemas, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for command, values := range documents {
		path := filepath.Join(schemas, command+".json")
		want := (&schema{t: t}).document(command, values)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what efcn %s --json prints (%v); go test ./cmd/efcn -run TestSchemas -update writes it", path,
				command, err)
		}
	}
	files, err := filepath.Glob(schemas + "/*.json")
	if err != nil || len(files) != len(documents) {
		t.Errorf("%d schemas (%v); want %d", len(files), err, len(documents))
	}
	for _, cmd := range commands(&env{}) {
		if _, ok := documents[cmd.Name()]; ok != (cmd.Flags().Lookup("json") != nil) {
			t.Errorf("%s: it has a schema: %t, and --json: %t", cmd.Name(), ok, !ok)
		}
	}
}

// TestSchemasHold runs every command that prints JSON, and has another implementation
// of JSON Schema check what it prints, and find fault with what it does not.
func TestSchemasHold(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cnn := filepath.Join(root, "testdata", "models", "plain-torchscript", "model.onnx")
	inputs := filepath.Join(filepath.Dir(cnn), "inputs.npz")
	small := filepath.Join(root, "testdata", "study", "cnn.onnx")
	set := func(name string, n int, options string) string {
		folder := filepath.Join(root, "testdata", "fashion-mnist")
		return fmt.Sprintf("idx:%s/%s-images-%s-idx3-ubyte.gz,%s/%s-labels-%s-idx1-ubyte.gz?limit=%d%s", folder,
			strings.Fields(name)[0], strings.Fields(name)[1], folder, strings.Fields(name)[0], strings.Fields(name)[1], n, options)
	}
	train, test := set("train 10k", 60, ""), set("test 2k", 60, "")
	study := func(seed int, more ...string) []string {
		return append([]string{
			"relax", small, "--data", set("train 10k", 40, "&resize=14x14"), "--test", set("test 2k", 40, "&resize=14x14"),
			"--epochs", "1", "--relax-epochs", "0", "--batch", "20", "--seeds", "1", "--seed", strconv.Itoa(seed), "--with", "elcn",
		}, more...)
	}
	compiled := map[string]*jsonschema.Schema{}
	for command := range documents {
		if compiled[command], err = jsonschema.NewCompiler().Compile(filepath.Join(schemas, command+".json")); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	checked := map[string]int{}
	for _, line := range [][]string{
		{"version"},
		{"version", "-v"},
		{"inspect", cnn},
		{"check", cnn},
		{"convert", cnn, "--dry-run"},
		{"convert", cnn, "-o", "efcn.onnx"},
		{"convert", cnn, "-o", "products.onnx", "--fold", "all", "--maxpool", "relu"},
		{"convert", cnn, "-o", "factored.onnx", "--layout", "factored", "--rank", "4"},
		{"convert", "efcn.onnx", "--to", "local", "-o", "local.onnx"},
		{"inspect", "efcn.onnx"},
		{"verify", cnn, "efcn.onnx", "--samples", "8"},
		{"verify", cnn, "products.onnx", "--samples", "8", "--engine", "onnx-go"},
		{"verify", cnn, "efcn.onnx", "factored.onnx", "--samples", "4"},
		{"finetune", "efcn.onnx", "--data", train, "--test", test, "-o", "tuned.onnx", "--epochs", "2", "--lr", "0.01", "--save-best"},
		{"verify", cnn, "tuned.onnx", "--samples", "8"},
		{"eval", "tuned.onnx", "--data", test},
		{"measure", "tuned.onnx", "--cnn", cnn, "--spectrum", "4"},
		{"compress", "tuned.onnx", "-o", "less.onnx", "--layout", "factored", "--rank", "2", "--data", test},
		{"project", "tuned.onnx", "-o", "near.onnx"},
		{"run", "efcn.onnx", "--inputs", inputs},
		{"run", "efcn.onnx", "--inputs", inputs, "-o", "y.npz", "--bench", "1"},
		{"export", "efcn.onnx", "--layer", "/conv1/Conv", "-o", "a.npz"},
		{"interpolate", "efcn.onnx", "tuned.onnx", "--data", train, "--test", test, "--points", "3"},
		study(0, "--dry-run"),
		study(0, "-o", "a"),
		study(1, "-o", "b"),
		{"merge", "a", "b", "-o", "both"},
		{"report", "both", "-o", "page.html", "--no-check"},
	} {
		var out, stderr bytes.Buffer
		code := execute(t.Context(), append(line, "--json"), strings.NewReader(""), &out, &stderr)
		if code != exitDone && !(line[0] == "verify" && code == exitNo) {
			t.Fatalf("%q: exit code %d: %s", line, code, stderr.String())
		}
		document, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		s := compiled[line[0]]
		if err := s.Validate(document); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		checked[line[0]]++
		members, ok := document.(map[string]any)
		if !ok {
			t.Fatalf("%q prints a %T", line, document)
		}
		members["more"] = 1
		if s.Validate(members) == nil {
			t.Errorf("%q: a member that no schema has is let through", line)
		}
		delete(members, "more")
		for name, v := range members {
			members[name] = []any{map[string]any{}}
			if s.Validate(members) == nil {
				t.Errorf("%q: any %q is let through", line, name)
			}
			members[name] = v
		}
	}
	if len(checked) != len(documents) {
		t.Errorf("%v were checked; want %d commands", checked, len(documents))
	}
}
