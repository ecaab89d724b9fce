package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckAgainstONNX compares check with onnx.checker in full, on models that are
// right or wrong in one way each (testdata/scripts/make_checked.py). Where they
// differ the reason stands here and in docs/decisions.md.
func TestCheckAgainstONNX(t *testing.T) {
	const (
		stricter = "no runtime runs it"
		page     = "the operator's page forbids it"
		choice   = "which version is meant is open"
		unknown  = "it cannot be followed"
		unread   = "not a whole file: refused when it is read"
		types    = "element types are not held against the operators' lists"
		sparse   = "onnx.checker does not see sparse initializers"
		ceil     = "what exporters declare behind ceil_mode is not looked at"
		data     = "the condition depends on data"
	)
	differ := map[string]string{
		"kernel_shape differs": stricter, "group 0": stricter, "group 2 wrong channels": stricter, "channels differ": stricter,
		"kernel larger": stricter, "bias wrong": stricter, "auto_pad bad": stricter, "auto_pad and pads": page, "reshape count": stricter,
		"pool kernel larger": stricter, "upsample below 1": page, "negative dim": stricter,
		"opset twice two versions": choice, "ml twice versions": choice, "opset 99": unknown, "no opset": unread, "init size": unread,
		"relu int": types, "bool add": types, "string relu": types, "sparse conv good": sparse, "sparse matmul": sparse,
		"ceil bad out": ceil, "if declared wrong": data,
	}
	text, err := os.ReadFile("testdata/checked.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		Model []byte
		Valid bool
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	valid := 0
	for name, c := range cases {
		if err := os.WriteFile(path, c.Model, 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := execute(context.Background(), []string{"check", path}, strings.NewReader(""), &stdout, &stderr)
		if c.Valid {
			valid++
		}
		want := 1
		if c.Valid != (differ[name] != "") {
			want = 0
		}
		if differ[name] == unread {
			want = 2
		}
		if code != want {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, code, want, &stdout, &stderr)
		}
	}
	if len(cases) != 128 || valid != 36 {
		t.Errorf("%d cases, %d of them valid", len(cases), valid)
	}
}
