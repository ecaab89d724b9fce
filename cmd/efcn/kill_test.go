//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestKill kills the real command at random moments and resumes each time; what
// it ends with is what a run that nothing happened to ends with, byte for byte.
// It kills while data are read, steps taken and files written: 15 times, or as
// often as EFCN_KILLS says.
func TestKill(t *testing.T) {
	kills := 15
	if n, err := strconv.Atoi(os.Getenv("EFCN_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(root, "testdata", "fashion-mnist")
	run := func(output string, more ...string) *exec.Cmd {
		args := append([]string{
			"finetune", filepath.Join(root, "testdata", "models", "lenet-torchscript", "model.onnx"),
			"-o", filepath.Join(dir, output),
			"--data", fmt.Sprintf("idx:%s,%s?limit=120", filepath.Join(images, "test-images-2k-idx3-ubyte.gz"),
				filepath.Join(images, "test-labels-2k-idx1-ubyte.gz")),
			"--epochs", "6", "--batch", "10", "--lr", "0.01", "--optimizer", "adam", "--augment", "flip,crop:2", "--threads", "1",
		}, more...)
		return exec.Command("efcn", args...)
	}
	begin := time.Now()
	if out, err := run("whole.onnx").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	whole := time.Since(begin)
	want, err := os.ReadFile(filepath.Join(dir, "whole.onnx"))
	if err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(1, uint64(begin.UnixNano())))
	finished, killed, resumed := 0, 0, 0
	for killed < kills || finished == 0 {
		state := fmt.Sprintf("run%d", finished)
		output := state + ".onnx"
		var said bytes.Buffer
		cmd := run(output, "--checkpoint", filepath.Join(dir, state), "--checkpoint-every", "3", "--resume")
		cmd.Stderr = &said
		if _, err := os.Stat(filepath.Join(dir, state, "run.checkpoint")); err == nil {
			resumed++
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.NewTimer(time.Duration(rng.Int64N(int64(whole))))
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		stop := timer.C
		if killed == kills {
			stop = nil
		}
		select {
		case <-stop:
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			err = <-done
		case err = <-done:
		}
		var exit *exec.ExitError
		switch {
		case err == nil:
			finished++
			if got, err := os.ReadFile(filepath.Join(dir, output)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("after %d kills the model is another one (%v)", killed, err)
			}
			lines, err := os.ReadFile(filepath.Join(dir, state, "metrics.jsonl"))
			if n := bytes.Count(lines, []byte("\n")); err != nil || n != 6 {
				t.Fatalf("after %d kills %d lines of metrics (%v), want 6", killed, n, err)
			}
		case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
			killed++
		default:
			t.Fatalf("after %d kills: %v\n%s", killed, err, said.String())
		}
	}
	t.Logf("killed %d times, went on from a checkpoint %d times, finished %d runs of %v", killed, resumed, finished, whole)
	if killed != kills || resumed < kills/4 {
		t.Errorf("killed %d times, went on %d times", killed, resumed)
	}
}
