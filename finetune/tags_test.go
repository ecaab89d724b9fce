package finetune

import "testing"

// TestTags: TensorBoard makes a folder of every slash, and none may be without a name.
func TestTags(t *testing.T) {
	for name, want := range map[string]string{
		"/conv1/Conv": "gradient/conv1/Conv", "fc.weight": "gradient/fc.weight", "a//b/": "gradient/a/b",
	} {
		if got := tagOf("gradient", name); got != want {
			t.Errorf("%q: %q; want %q", name, got, want)
		}
	}
}
