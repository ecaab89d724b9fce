package convert

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/operators.md anew")

// TestOperatorTable compares the table in docs with the registry.
// go test ./convert -run OperatorTable -update writes it anew.
func TestOperatorTable(t *testing.T) {
	const path = "../docs/operators.md"
	var b strings.Builder
	b.WriteString(`# What becomes of each operator

Written from the registry of package convert by ` + "`go test ./convert -run OperatorTable -update`" + `; operators of the
default ONNX domain, opset 7 and newer. Any other operator stays as it is, on tensors, and the plan says so.
A linear operator is refused, not kept, where the shape of its input is not known.

| operator | in the eFCN |
|---|---|
`)
	for _, name := range slices.Sorted(maps.Keys(operators)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, operators[name].becomes)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what the registry says; write it anew with -update", path)
	}
}
