package engine

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"efcn/onnxio"
)

var update = flag.Bool("update", false, "write docs/operators-engine.md from the registry")

// TestOperatorTable compares the documentation with the registry.
func TestOperatorTable(t *testing.T) {
	const path = "../../docs/operators-engine.md"
	want := operatorTable(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the registry says; go test ./internal/engine -run OperatorTable -update writes it",
			path)
	}
}

func operatorTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `# What the embedded engine runs

Written from the registry of package internal/engine by `+"`go test ./internal/engine -run OperatorTable -update`"+`.
Operators of the default ONNX domain in opsets %d to %d, in float32 and float64; model-local functions are inlined.
A model with any other operator is refused, naming each node. The engine holds floating point (float16, bfloat16,
float32, float64), integers of 8 to 64 bits and bool; strings, sequences, maps, optionals, 8-bit floats and
sub-byte types are refused.

Versions are those of the operator's schema in force in these opsets.

| operator | opsets | versions | limits |
|---|---|---|---|
`, onnxio.OldestOpset, onnxio.NewestOpset)
	names := make([]string, 0, len(registry))
	for name, op := range registry {
		if op.domain == "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		schemas, last := versionsOf(t, name)
		versions := make([]string, len(schemas))
		for i, s := range schemas {
			versions[i] = fmt.Sprint(s.SinceVersion)
		}
		first := max(onnxio.OldestOpset, schemas[0].SinceVersion)
		fmt.Fprintf(&b, "| %s | %d–%d | %s | %s |\n", name, first, last, strings.Join(versions, ", "),
			registry[name].limits)
	}
	return b.String()
}
