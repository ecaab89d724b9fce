// Package version names the build of efcn that is running: [String] for people and for
// files that note what made them, [Read] for its parts.
package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Build is what the Go tool recorded of a build.
type Build struct {
	Version  string `json:"version"`          // of the module: a tag, a pseudo-version, or (devel)
	Commit   string `json:"commit,omitempty"` // of the source, where that was in a repository
	Date     string `json:"date,omitempty"`   // of that commit, as RFC 3339
	Modified bool   `json:"modified"`         // the source differed from the commit
	Go       string `json:"go"`               // version of Go
	Platform string `json:"platform"`         // operating system and processor: linux/amd64
}

// Read returns the parts. What is not known is empty.
func Read() Build {
	b := Build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	if b.Version == "" {
		b.Version = "(devel)"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String returns the build in one line: version, commit where the version does not hold
// it, Go, platform.
func String() string { return Read().String() }

func (b Build) String() string {
	parts := []string{b.Version}
	if b.Commit != "" && !strings.Contains(b.Version, b.Commit[:min(12, len(b.Commit))]) {
		parts = append(parts, b.Commit)
	}
	return strings.Join(append(parts, b.Go, b.Platform), " ")
}
