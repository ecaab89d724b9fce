package verify_test

import (
	"slices"
	"testing"

	"efcn/convert"
	"efcn/convert/verify"
	"efcn/internal/engines"
	"efcn/onnxio"
)

// TestProgress: every check tells how far it is, and gets to its end.
func TestProgress(t *testing.T) {
	cnn := readTrained(t, "plain-torchscript")
	for _, c := range []struct {
		name   string
		second *onnxio.Model
		want   []string
	}{
		{"an eFCN", converted(t, cnn, convert.Options{}), []string{verify.Structure, verify.Float64, verify.Float32, "engines"}},
		{"another model", cnn, []string{"matching", verify.Float64, verify.Float32, "engines"}},
	} {
		var checks []string
		last := [2]int{1, 1}
		o := verify.Options{
			Samples: 40, Batch: 16, Engines: []string{engines.OnnxGo}, Open: openAny(same),
			Progress: func(check string, done, of int) {
				if len(checks) == 0 || check != checks[len(checks)-1] {
					if last[0] < last[1] {
						t.Errorf("%s: %s ends at %d of %d", c.name, checks[len(checks)-1], last[0], last[1])
					}
					checks, last = append(checks, check), [2]int{0, of}
				}
				if done < 1 || done < last[0] || done > of || of != last[1] {
					t.Errorf("%s: %s: %d of %d after %v", c.name, check, done, of, last)
				}
				last = [2]int{done, of}
			},
		}
		if _, err := verify.Verify(t.Context(), cnn, c.second, o); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(checks, c.want) || last[0] < last[1] {
			t.Errorf("%s: %q, in the end %v; want %q", c.name, checks, last, c.want)
		}
	}
}
