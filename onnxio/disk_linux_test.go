package onnxio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilled kills a process that is writing a model and its external data. Where
// the file system has files without a name, nothing is left of them.
func TestKilled(t *testing.T) {
	if path := os.Getenv("EFCN_TEST_WRITE"); path != "" { // the process
		m := counting()
		m.Graph.Initializers[1].Data = Generate(1<<20, func(w io.Writer) error {
			if _, err := w.Write(make([]byte, 1<<19)); err != nil {
				return err
			}
			fmt.Println("half")
			time.Sleep(time.Hour) // select{} alone is a deadlock, which Go ends
			return nil
		})
		_, err := Write(path, m, WriteOptions{External: ExternalData(os.Getenv("EFCN_TEST_EXTERNAL"))})
		t.Fatalf("written: %v", err)
	}
	for _, external := range []ExternalData{ExternalNever, ExternalAlways} {
		dir := t.TempDir()
		want := 0
		f, err := createUnnamed(dir)
		if errors.Is(err, errors.ErrUnsupported) {
			want = 1
		} else if err != nil {
			t.Fatal(err)
		} else {
			f.Close()
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilled$")
		cmd.Env = append(os.Environ(), "EFCN_TEST_WRITE="+filepath.Join(dir, "out.onnx"),
			"EFCN_TEST_EXTERNAL="+string(external))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, len("half\n"))
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "half\n" {
			t.Errorf("it says %q (%v)", line, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("it was not killed")
		}
		if got := list(t, dir); len(got) != want {
			t.Errorf("external data %s: the folder holds %v, want %d files", external, got, want)
		}
	}
}

// TestReserve asks for more room than any disk has, before anything is written.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	const size = 1 << 60
	m := &Model{IRVersion: 10, Opsets: []Opset{{"", 17}}, Graph: &Graph{Name: "g", Initializers: []*Tensor{
		{Name: "w", Type: Float32, Dims: []int64{size / 4}, Data: zeros(size)},
	}}}
	_, err := Write(filepath.Join(dir, "huge.onnx"), m, WriteOptions{})
	if err == nil || !strings.Contains(err.Error(), "no room for 1152921504606846976 bytes: ") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line that says what does not fit", err)
	}
	if names := list(t, dir); len(names) > 0 {
		t.Errorf("%v was left", names)
	}

	f, err := os.Create(filepath.Join(dir, "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := reserve(f, 0); err != nil {
		t.Errorf("no bytes: %v", err)
	}
}
