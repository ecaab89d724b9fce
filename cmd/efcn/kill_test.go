//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestKill kills the real command at random moments and resumes each time; what
// it ends with is what a run that nothing happened to ends with, byte for byte.
// It kills while data are read, V is chosen, steps taken and files written: 15 times, or
// as often as EFCN_KILLS says, and a third as often where images are streamed.
func TestKill(t *testing.T) {
	kills := 15
	if n, err := strconv.Atoi(os.Getenv("EFCN_KILLS")); err == nil {
		kills = n
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(root, "testdata", "fashion-mnist")
	models := filepath.Join(root, "testdata", "models")
	lenet := filepath.Join(models, "lenet-torchscript", "model.onnx")
	steps := []string{"--epochs", "6", "--batch", "10", "--lr", "0.01"}
	adam := append(steps, "--optimizer", "adam")
	inMemory := []string{"--augment", "flip,crop:2", "--data", fmt.Sprintf("idx:%s,%s?limit=120",
		filepath.Join(images, "test-images-2k-idx3-ubyte.gz"), filepath.Join(images, "test-labels-2k-idx1-ubyte.gz"))}
	t.Run("in memory", func(t *testing.T) {
		killAndResume(t, kills, lenet, slices.Concat(adam, inMemory))
	})
	t.Run("factored", func(t *testing.T) {
		efcn := filepath.Join(t.TempDir(), "efcn.onnx")
		out, err := exec.Command("efcn", "convert", filepath.Join(models, "plain-torchscript", "model.onnx"), "-o", efcn,
			"--layout", "factored", "--rank", "8").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		killAndResume(t, kills, efcn, slices.Concat(steps, inMemory, []string{
			"--momentum", "0.5", "--init", "gradient", "--refresh", "2",
		}))
	})
	t.Run("streamed", func(t *testing.T) {
		folder := t.TempDir()
		for i := range 120 {
			grey := image.NewGray(image.Rect(0, 0, 40, 36))
			for k := range grey.Pix {
				grey.Pix[k] = uint8(k*(7*i+3) + i)
			}
			var b bytes.Buffer
			if err := png.Encode(&b, grey); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(folder, strconv.Itoa(i%10), fmt.Sprintf("%d.png", i))
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		killAndResume(t, kills/3, lenet, append(adam, "--data", "folder:"+folder+"?memory=1&crop=random:28&flip"))
	})
}

// killAndResume trains a model with options, while it kills the command so many times.
func killAndResume(t *testing.T, kills int, model string, options []string) {
	dir := t.TempDir()
	run := func(output string, more ...string) *exec.Cmd {
		args := append([]string{
			"finetune", model, "-o", filepath.Join(dir, output), "--threads", "1",
		}, options...)
		return exec.Command("efcn", append(args, more...)...)
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
	window := whole
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
		timer := time.NewTimer(time.Duration(rng.Int64N(int64(window))))
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
			if _, err := os.Stat(filepath.Join(dir, state, "run.checkpoint")); err != nil {
				window += whole / 4 // the machine may be slower now
			}
		default:
			t.Fatalf("after %d kills: %v\n%s", killed, err, said.String())
		}
	}
	t.Logf("killed %d times, went on from a checkpoint %d times, finished %d runs of %v", killed, resumed, finished, whole)
	if killed != kills || resumed < kills/4 {
		t.Errorf("killed %d times, went on %d times", killed, resumed)
	}
}
