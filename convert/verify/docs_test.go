package verify_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"efcn/convert/record"
)

var update = flag.Bool("update", false, "write the table in docs/verification.md anew")

// TestDocs compares the table of mutations in docs with the one that the tests
// run. go test ./convert/verify -run Docs -update writes it anew.
func TestDocs(t *testing.T) {
	const begin, end = "<!-- mutations -->\n", "<!-- end of mutations -->\n"
	path := filepath.Join("..", "..", "docs", "verification.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	if table := mutationTable(); *update {
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != table {
		t.Errorf("the table in %s is not the one that the tests run; write it anew with -update", path)
	}
}

func mutationTable() string {
	var b strings.Builder
	b.WriteString("| layout | what was changed | structure | float64 | float32 |\n|---|---|---|---|---|\n")
	row := func(layout string, c mutation) {
		cell := func(s string) string {
			kind, _, _ := strings.Cut(s, " ")
			return map[bool]string{true: kind, false: "-"}[s != ""]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", layout, c.name, cell(c.structure), cell(c.float64), cell(c.float32))
	}
	for _, c := range mutations {
		layout := "dense"
		if c.anyLayout {
			layout = "any"
		}
		row(layout, c)
	}
	for _, layout := range []record.Layout{record.Sparse, record.Local, record.Keep} {
		for _, c := range slices.Clone(layoutMutations) {
			if c.layout == layout {
				row(string(layout), c.mutation)
			}
		}
	}
	for _, c := range factoredMutations {
		row("factored", c)
	}
	for _, c := range padMutations {
		row(string(c.layout), c.mutation)
	}
	for _, layout := range productLayouts {
		for i, c := range productMutations(layout) {
			switch {
			case i >= sharedProductMutations:
				row("product, "+string(layout), c)
			case layout == productLayouts[0]:
				row("product", c)
			}
		}
	}
	for _, c := range stepMutations {
		row("steps", c)
	}
	for _, c := range shapeMutations {
		row("any, shapes", c)
	}
	return b.String()
}
