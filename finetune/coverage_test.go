package finetune

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// untrained are the operators of docs/operators.md that finetune refuses.
var untrained = []string{"Einsum"}

// What is converted is trained, but for the list above.
func TestConvertedOperatorsTrain(t *testing.T) {
	text, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| ([A-Z][A-Za-z0-9]*) \|`).FindAllStringSubmatch(string(text), -1)
	if want := 85; len(rows) < want {
		t.Fatalf("read %d operators, want %d or more", len(rows), want)
	}
	var missing []string
	for _, row := range rows {
		if o := operators[row[1]]; o == nil || o.single == nil {
			missing = append(missing, row[1])
		}
	}
	slices.Sort(missing)
	if !slices.Equal(missing, untrained) {
		t.Errorf("operators that are converted and not trained: %q\nwant %q", missing, untrained)
	}
}
