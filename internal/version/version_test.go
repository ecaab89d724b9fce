package version

import (
	"runtime"
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct {
		version, want string
	}{
		{"(devel)", "(devel) " + commit + " go linux/amd64"},
		{"v1.2.3", "v1.2.3 " + commit + " go linux/amd64"},
		// A pseudo-version ends with the first 12 digits.
		{"v0.0.0-20260101000000-0123456789ab", "v0.0.0-20260101000000-0123456789ab go linux/amd64"},
	} {
		b := Build{Version: c.version, Commit: commit, Go: "go", Platform: "linux/amd64"}
		if got := b.String(); got != c.want {
			t.Errorf("%s: %q; want %q", c.version, got, c.want)
		}
	}
}

func TestRead(t *testing.T) {
	b := Read()
	if b.Version == "" || b.Go != runtime.Version() || !strings.HasSuffix(String(), runtime.GOOS+"/"+runtime.GOARCH) {
		t.Errorf("%+v, %q", b, String())
	}
}
