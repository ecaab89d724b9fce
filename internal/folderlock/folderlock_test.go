package folderlock

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	var held *InUseError
	if !errors.As(err, &held) || held.Dir != dir {
		t.Errorf("locked twice: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v (%v)", files, err)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Errorf("the folder is gone: %v", err)
	}
	if _, err := Lock(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// Of many that take turns, one at a time has the folder.
func TestLockIsExclusive(t *testing.T) {
	dir := t.TempDir()
	var inside, turns atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for done := 0; done < 50; {
				release, err := Lock(dir)
				var held *InUseError
				if errors.As(err, &held) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				inside.Add(-1)
				if err := release(); err != nil {
					t.Error(err)
					return
				}
				done++
				turns.Add(1)
			}
		})
	}
	all.Wait()
	if turns.Load() != 400 {
		t.Errorf("%d turns, want 400", turns.Load())
	}
}

// A process that is killed leaves the file, and no lock.
func TestLockEndsWithItsProcess(t *testing.T) {
	if dir := os.Getenv("EFCN_LOCK"); dir != "" {
		if _, err := Lock(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stdout.WriteString("locked\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // select{} alone is a deadlock, which Go ends
	}
	dir := t.TempDir()
	other := exec.Command(os.Args[0], "-test.run=TestLockEndsWithItsProcess")
	other.Env = append(os.Environ(), "EFCN_LOCK="+dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var held *InUseError
	if _, err := Lock(dir); !errors.As(err, &held) {
		t.Errorf("the folder of a living process: %v", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
	release, err := Lock(dir)
	if err != nil {
		t.Fatalf("after the process was killed: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, Name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}
