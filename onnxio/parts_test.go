package onnxio

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestParts: all of a content is visited once, in whole units, wherever it is.
func TestParts(t *testing.T) {
	content := make([]byte, 3*partBytes+1234)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	const before = 100
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, append(make([]byte, before), content...), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	in := inFile{path, before, int64(len(content)), info.Size(), info.ModTime()}
	for _, d := range []Data{
		in,
		region{filepath.Dir(path), "data", before, in.length, info.Size(), info.ModTime()},
		rawData(content),
		torn{bytes: content, step: 1 << 16},
	} {
		for _, unit := range []int{0, 1, 7, 4096, partBytes, partBytes + 1, len(content), 2 * len(content)} {
			for threads := range 4 {
				var mu sync.Mutex
				got, seen := make([]byte, len(content)), 0
				err := Parts(d, unit, threads, func(at int64, part []byte) error {
					mu.Lock()
					defer mu.Unlock()
					if at%int64(max(1, unit)) != 0 {
						return fmt.Errorf("a part begins at %d", at)
					}
					if end := int(at) + len(part); end < len(content) && end%max(1, unit) != 0 {
						return fmt.Errorf("a part ends at %d", end)
					}
					seen += copy(got[at:], part)
					return nil
				})
				if err != nil || seen != len(content) || !slices.Equal(got, content) {
					t.Fatalf("%T, units of %d, %d threads: %d of %d bytes (%v)", d, unit, threads, seen, len(content), err)
				}
			}
		}
		stop := errors.New("stop")
		if err := Parts(d, 1, 2, func(int64, []byte) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%T: visit's error became %v", d, err)
		}
	}
	visit := func(int64, []byte) error { return nil }
	if err := Parts(rawData(nil), 1, 2, func(int64, []byte) error { return errors.New("a part of nothing") }); err != nil {
		t.Error(err)
	}
	if err := os.Chtimes(path, time.Now(), info.ModTime().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := Parts(in, 1, 2, visit); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a file that was changed: %v", err)
	}
	for range 50 { // several goroutines read behind the end
		short := in
		short.modified, short.length = info.ModTime().Add(time.Hour), in.length+8*partBytes
		if err := Parts(short, 1, 4, visit); err == nil ||
			!strings.HasSuffix(err.Error(), fmt.Sprintf("data: got %d of %d bytes", len(content), short.length)) {
			t.Fatal(err)
		}
	}
	beyond := in
	beyond.modified, beyond.length = info.ModTime().Add(time.Hour), in.length+1
	if err := Parts(beyond, 1, 2, visit); err == nil ||
		!strings.HasSuffix(err.Error(), fmt.Sprintf("data: got %d of %d bytes", len(content), len(content)+1)) {
		t.Errorf("content beyond the end: %v", err)
	}
}
