//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"efcn/onnxio"
)

// TestKillRanks trains an eFCN on several ranks of the MPI whose library EFCN_MPI names,
// while it kills one of them, or all with their launcher, at random moments, and
// resumes: 20 times, or as often as EFCN_KILLS says. Nothing that was saved is lost, what
// it ends with on as many ranks as before are the bytes of a run that nothing happened
// to, and on other numbers of ranks, which take turns, the same weights within rounding.
// A signal to one rank does what it does to one process.
func TestKillRanks(t *testing.T) {
	library := os.Getenv("EFCN_MPI")
	if library == "" || library == "off" {
		t.Skip("EFCN_MPI names no library")
	}
	kills := 20
	if n, err := strconv.Atoi(os.Getenv("EFCN_KILLS")); err == nil {
		kills = n
	}
	k := newRankKiller(t, library)
	t.Run("same number", func(t *testing.T) {
		for _, ranks := range []int{2, 4} {
			k.killAndResume(t, fmt.Sprint("ranks", ranks), kills/4, func() int { return ranks })
		}
	})
	t.Run("1, 2 and 4 by turns", func(t *testing.T) {
		turn := 0
		k.killAndResume(t, "turns", kills-2*(kills/4), func() int { turn++; return []int{2, 1, 4}[turn%3] })
	})
	t.Run("signals", k.signals)
}

// rankKiller runs one training.
type rankKiller struct {
	library string
	model   string
	data    string
	dir     string
	whole   map[int][]byte        // by the number of ranks: the model that an undisturbed run ends with
	took    map[int]time.Duration // and how long that was
	rng     *rand.Rand
}

// rankEpochs is the length of the run.
const rankEpochs = 4

func newRankKiller(t *testing.T, library string) *rankKiller {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(root, "testdata", "fashion-mnist")
	k := &rankKiller{
		library: library, dir: t.TempDir(),
		data: fmt.Sprintf("idx:%s,%s?limit=120", filepath.Join(images, "test-images-2k-idx3-ubyte.gz"),
			filepath.Join(images, "test-labels-2k-idx1-ubyte.gz")),
		whole: map[int][]byte{}, took: map[int]time.Duration{},
		rng: rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano()))),
	}
	k.model = filepath.Join(k.dir, "efcn.onnx")
	out, err := exec.Command("efcn", "convert", filepath.Join(root, "testdata", "models", "lenet-torchscript", "model.onnx"),
		"-o", k.model, "--layout", "dense").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, ranks := range []int{1, 2, 4} {
		begin := time.Now()
		j := k.start(t, ranks, "whole", "")
		if err := j.wait(t); err != nil {
			t.Fatalf("%d ranks: %v\n%s", ranks, err, &j.said)
		}
		k.took[ranks] = time.Since(begin)
		if k.whole[ranks], err = os.ReadFile(j.output); err != nil {
			t.Fatal(err)
		}
		k.compare(t, fmt.Sprintf("%d ranks", ranks), k.whole[ranks])
	}
	return k
}

// rankJob is a run under a launcher.
type rankJob struct {
	cmd    *exec.Cmd
	output string
	done   chan error
	said   bytes.Buffer
}

// start begins a run, or goes on with that in the folder state, unless that is "".
func (k *rankKiller) start(t *testing.T, ranks int, output, state string) *rankJob {
	t.Helper()
	program, err := exec.LookPath("efcn")
	if err != nil {
		t.Fatal(err)
	}
	j := &rankJob{output: filepath.Join(k.dir, output+".onnx"), done: make(chan error, 1)}
	args := []string{"-n", strconv.Itoa(ranks)}
	if strings.Contains(filepath.Base(k.library), "libmpi.so.40") {
		args = append(args, "--oversubscribe", "--bind-to", "none")
	}
	args = append(args, program, "finetune", k.model, "-o", j.output, "--data", k.data, "--threads", "1",
		"--epochs", strconv.Itoa(rankEpochs), "--batch", "10", "--lr", "0.001", "--momentum", "0.5")
	if state != "" {
		args = append(args, "--checkpoint", filepath.Join(k.dir, state), "--checkpoint-every", "3", "--resume")
	}
	j.cmd = exec.Command(filepath.Join(filepath.Dir(k.library), "..", "bin", "mpirun"), args...)
	// A launcher that is killed leaves files behind, and Open MPI does not start ("listener
	// thread failed to start") where it finds those of one with its own process number.
	j.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "EFCN_OPENBLAS=off",
		"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	j.cmd.Stderr = &j.said
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { j.done <- j.cmd.Wait() }()
	return j
}

// wait waits for the end of the job, which leaves no process behind.
func (j *rankJob) wait(t *testing.T) error {
	t.Helper()
	var err error
	select {
	case err = <-j.done:
	case <-time.After(2 * time.Minute):
		j.kill()
		t.Fatalf("the job does not end\n%s", &j.said)
	}
	for begin := time.Now(); len(j.ranks()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			j.kill()
			t.Fatalf("%d ranks are left behind\n%s", len(j.ranks()), &j.said)
		}
	}
	return err
}

// kill kills the launcher and all ranks.
func (j *rankJob) kill() {
	_ = j.cmd.Process.Kill()
	for _, process := range j.ranks() {
		_ = syscall.Kill(process, syscall.SIGKILL) // it may have ended
	}
}

// ranks are the processes of the job but for the launcher's.
func (j *rankJob) ranks() (processes []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		args := strings.Split(string(text), "\x00")
		if err != nil || filepath.Base(args[0]) != "efcn" || !slices.Contains(args, j.output) {
			continue
		}
		if process, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			processes = append(processes, process)
		}
	}
	return processes
}

// killAndResume kills runs on as many ranks as ranks says each time, until it has done so
// so many times and a run has ended.
func (k *rankKiller) killAndResume(t *testing.T, name string, kills int, ranks func() int) {
	killed, resumed, finished, steps := 0, 0, 0, 0
	numbers := map[int]bool{} // of ranks, in the run that goes on
	state := func() string { return fmt.Sprint(name, "-", finished) }
	for killed < kills || finished == 0 {
		n := ranks()
		numbers[n] = true
		if steps > 0 {
			resumed++
		}
		j := k.start(t, n, state(), state())
		if killed < kills {
			k.strike(t, j, n, killed, state())
		}
		err := j.wait(t)
		if now := k.saved(t, state()); now < steps {
			t.Fatalf("after %d kills the run is at step %d, it was at %d", killed, now, steps)
		} else {
			steps = now
		}
		switch {
		case err == nil:
			k.finished(t, state(), j.output, numbers)
			finished, steps = finished+1, 0
			clear(numbers)
		case !wasKilled(err):
			t.Fatalf("after %d kills: %v\n%s", killed, err, &j.said)
		default:
			killed++
		}
	}
	t.Logf("killed %d times, went on from a checkpoint %d times, finished %d runs", killed, resumed, finished)
	if resumed < kills/4 {
		t.Errorf("went on %d times after %d kills", resumed, kills)
	}
}

// strike kills one rank, or all with the launcher, by turns: twice at any moment within the
// time that a run takes, which is mostly before the first step, and twice after the run has
// been saved again.
func (k *rankKiller) strike(t *testing.T, j *rankJob, ranks, turn int, state string) {
	moment := time.NewTimer(time.Duration(k.rng.Int64N(int64(k.took[ranks]))))
	if turn%4 >= 2 {
		for before := k.saved(t, state); k.saved(t, state) == before && len(j.done) == 0; {
			time.Sleep(5 * time.Millisecond)
		}
		moment.Reset(time.Duration(k.rng.Int64N(int64(100 * time.Millisecond))))
	}
	select {
	case err := <-j.done:
		j.done <- err
		return
	case <-moment.C:
	}
	if processes := j.ranks(); turn%2 == 0 && len(processes) > 0 {
		_ = syscall.Kill(processes[k.rng.IntN(len(processes))], syscall.SIGKILL) // it may have ended
		return
	}
	j.kill()
}

// wasKilled reports whether a job ended as it was killed, and not by an error of its own:
// its launcher was, or says of a rank what a shell does (Open MPI) or the signal (MPICH).
func wasKilled(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && slices.Contains([]int{-1, 128 + int(syscall.SIGKILL), int(syscall.SIGKILL)}, exit.ExitCode())
}

// saved is the step that the checkpoint in a folder is of; 0 where there is none.
func (k *rankKiller) saved(t *testing.T, state string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, state, "run.checkpoint"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("\n"))
	var header struct {
		Progress struct {
			Steps int `json:"steps"`
		} `json:"progress"`
	}
	if err := json.Unmarshal(text[8:8+binary.LittleEndian.Uint64(text)], &header); err != nil {
		t.Fatal(err)
	}
	return header.Progress.Steps
}

// finished checks a run that was on these numbers of ranks.
func (k *rankKiller) finished(t *testing.T, state, output string, numbers map[int]bool) {
	t.Helper()
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	k.compare(t, state, got)
	for ranks := range numbers {
		if len(numbers) == 1 && !bytes.Equal(got, k.whole[ranks]) {
			t.Errorf("%s: on %d ranks throughout it ends with another model", state, ranks)
		}
	}
	lines, err := os.ReadFile(filepath.Join(k.dir, state, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range slices.Collect(strings.Lines(string(lines))) {
		var epoch struct{ Epoch int }
		if err := json.Unmarshal([]byte(line), &epoch); err != nil || epoch.Epoch != i+1 {
			t.Errorf("%s: line %d of the metrics: %v, %s", state, i+1, err, line)
		}
	}
	if n := bytes.Count(lines, []byte("\n")); n != rankEpochs {
		t.Errorf("%s: %d lines of metrics, want %d", state, n, rankEpochs)
	}
}

// compare compares the weights of a model with those that one rank ends with: sums in
// another order, over rankEpochs·12 steps.
func (k *rankKiller) compare(t *testing.T, what string, model []byte) {
	t.Helper()
	got, want := readBytes(t, model), readBytes(t, k.whole[1])
	compared := 0
	for n, init := range want.Graph.Initializers {
		if init.Type != onnxio.Float32 {
			continue
		}
		other, err := onnxio.Floats[float32](got.Graph.Initializers[n])
		if err != nil {
			t.Fatal(err)
		}
		values, err := onnxio.Floats[float32](init)
		if err != nil || len(values) != len(other) {
			t.Fatalf("%s: %q has %d elements, want %d (%v)", what, init.Name, len(other), len(values), err)
		}
		var difference, norm float64
		for i, v := range values {
			difference += math.Pow(float64(other[i])-float64(v), 2)
			norm += float64(v) * float64(v)
		}
		if off := math.Sqrt(difference / norm); !(off < 1e-4) {
			t.Errorf("%s: %q is %g of its norm away from what one rank trains", what, init.Name, off)
		}
		compared++
	}
	if compared < 6 {
		t.Errorf("%s: %d weights were compared", what, compared)
	}
}

func readBytes(t *testing.T, model []byte) *onnxio.Model {
	t.Helper()
	m, err := onnxio.ReadFrom(bytes.NewReader(model))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// signals: SIGUSR1 to a rank does nothing, SIGINT and SIGTERM have all save and stop, and
// SIGHUP ends the job as a kill does; then it goes on.
func (k *rankKiller) signals(t *testing.T) {
	const ranks = 2
	i := 0
	for signal, codes := range map[syscall.Signal][]int{
		syscall.SIGUSR1: {0}, syscall.SIGINT: {exitInterrupted}, syscall.SIGTERM: {exitInterrupted},
		// The rank ends by it, and the launcher kills the other: which of the two its code tells of is open.
		syscall.SIGHUP: {
			int(syscall.SIGHUP), 128 + int(syscall.SIGHUP), int(syscall.SIGKILL), 128 + int(syscall.SIGKILL),
		},
	} {
		i++
		state := fmt.Sprint("signal", int(signal))
		j := k.start(t, ranks, state, state)
		for begin := time.Now(); k.saved(t, state) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > time.Minute {
				j.kill()
				t.Fatalf("nothing is saved\n%s", &j.said)
			}
		}
		processes := j.ranks()
		if len(processes) != ranks {
			t.Fatalf("%d ranks at work", len(processes))
		}
		if err := syscall.Kill(processes[i%ranks], signal); err != nil {
			t.Fatal(err)
		}
		err := j.wait(t)
		if code := j.cmd.ProcessState.ExitCode(); !slices.Contains(codes, code) {
			t.Errorf("%v to a rank: %v, want one of %v\n%s", signal, err, codes, &j.said)
		}
		if err != nil {
			j = k.start(t, ranks, state, state)
			if err := j.wait(t); err != nil {
				t.Fatalf("it does not go on after %v: %v\n%s", signal, err, &j.said)
			}
		}
		k.finished(t, state, j.output, map[int]bool{ranks: true})
	}
}
