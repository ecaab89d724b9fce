package finetune

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReclaimable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.stat")
	if n := reclaimable(path); n != 0 {
		t.Errorf("no file: %d", n)
	}
	if err := os.WriteFile(path, []byte("anon 5\nfile 7000\ninactive_file 4096\nactive_file 3\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if n := reclaimable(path); n != 4096 {
		t.Errorf("%d, want 4096", n)
	}
}
