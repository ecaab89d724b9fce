//go:build linux && (amd64 || arm64)

package mpi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests that need MPI start this program again, under the launcher of the
// library, as the ranks of a job: TestMain then runs one of the roles of
// roles_test.go.

func TestMain(m *testing.M) {
	if role := os.Getenv("EFCN_MPI_ROLE"); role != "" {
		play(role)
	}
	os.Exit(m.Run())
}

// deadline is what a job may take: more is a hang.
const deadline = 90 * time.Second

// job is one that runs.
type launch struct {
	cmd     *exec.Cmd
	ready   map[int]int // processes by rank, of the ranks that said so
	isReady chan struct{}
	mutex   sync.Mutex
	stdout  bytes.Buffer
	stderr  bytes.Buffer
	done    chan error
}

// installation is an MPI with its launcher.
type installation struct {
	library, mpirun string
	openMPI         bool
}

// installed finds the library that is tested, in another process: what MPI loads
// stays.
func installed(t *testing.T) installation {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EFCN_MPI_ROLE=find")
	out, err := cmd.CombinedOutput()
	if err != nil {
		if os.Getenv("EFCN_MPI") == "" || os.Getenv("EFCN_MPI") == "off" {
			t.Skipf("%s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	library, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	t.Logf("%s", version)
	m := installation{library: library, openMPI: strings.Contains(version, "Open MPI")}
	m.mpirun = filepath.Join(filepath.Dir(filepath.Dir(library)), "bin", "mpirun")
	if _, err := os.Stat(m.mpirun); err != nil {
		if m.mpirun, err = exec.LookPath("mpirun"); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// start runs a role on as many ranks.
func (m installation) start(t *testing.T, ranks int, role string, env ...string) *launch {
	t.Helper()
	args := []string{"-n", strconv.Itoa(ranks)}
	if m.openMPI {
		args = append(args, "--oversubscribe", "--bind-to", "none")
	}
	j := &launch{
		cmd: exec.Command(m.mpirun, append(args, os.Args[0])...), ready: map[int]int{},
		isReady: make(chan struct{}), done: make(chan error, 1),
	}
	// A launcher that is killed leaves files behind, and Open MPI does not start ("listener
	// thread failed to start") where it finds those of one with its own process number.
	j.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "EFCN_MPI="+m.library, "EFCN_MPI_ROLE="+role,
		"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	j.cmd.Env = append(j.cmd.Env, env...)
	j.cmd.Stderr = &j.stderr
	out, err := j.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			j.mutex.Lock()
			var rank, process int
			if n, _ := fmt.Sscanf(lines.Text(), "ready %d %d", &rank, &process); n == 2 {
				j.ready[rank] = process
				if len(j.ready) == ranks {
					close(j.isReady)
				}
			} else {
				fmt.Fprintln(&j.stdout, lines.Text())
			}
			j.mutex.Unlock()
		}
		j.done <- j.cmd.Wait()
	}()
	return j
}

// await waits until all ranks are in the midst of their calls.
func (j *launch) await(t *testing.T) {
	t.Helper()
	select {
	case <-j.isReady:
	case err := <-j.done:
		t.Fatalf("the job ends before all ranks are at work: %v\n%s\n%s", err, &j.stdout, &j.stderr)
	case <-time.After(deadline):
		j.kill()
		t.Fatalf("the ranks do not begin\n%s", &j.stderr)
	}
}

// end waits for the end of the job, and returns its exit code. No process of it may
// be left.
func (j *launch) end(t *testing.T) int {
	t.Helper()
	var err error
	select {
	case err = <-j.done:
	case <-time.After(deadline):
		j.kill()
		t.Fatalf("the job does not end\n%s\n%s", &j.stdout, &j.stderr)
	}
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	for rank, process := range j.ready {
		for begin := time.Now(); alive(process); time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				j.kill()
				t.Fatalf("rank %d is left behind", rank)
			}
		}
	}
	return code
}

// alive reports whether a process runs; one that ended and is not yet waited for
// does not.
func alive(process int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func (j *launch) kill() {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	for _, process := range j.ready {
		_ = syscall.Kill(process, syscall.SIGKILL) // it may have ended
	}
	_ = j.cmd.Process.Kill()
}

// succeed waits for a job that has to end well.
func (j *launch) succeed(t *testing.T) {
	t.Helper()
	if code := j.end(t); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, &j.stdout, &j.stderr)
	}
}

// fail waits for a job that has to end badly, having said text once.
func (j *launch) fail(t *testing.T, text string) {
	t.Helper()
	code := j.end(t)
	if code < 1 {
		t.Errorf("exit code %d, want 1 or more\n%s\n%s", code, &j.stdout, &j.stderr)
	}
	if text == "" {
		return
	}
	if n := strings.Count(j.stderr.String(), text); n != 1 {
		t.Errorf("stderr has %q %d times, want once:\n%s", text, n, &j.stderr)
	}
}

// TestJobs runs everything on 1, 2 and 4 ranks.
func TestJobs(t *testing.T) {
	m := installed(t)
	t.Run("alone", func(t *testing.T) { testAlone(t, m) })
	for _, ranks := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, installation, int){
				"calls":   testCalls,
				"repeats": testRepeats,
				"signals": testSignals,
				"fails":   testFails,
				"killed":  testKilled,
			} {
				t.Run(name, func(t *testing.T) { test(t, m, ranks) })
			}
		})
	}
}

// testAlone: a process that a launcher of another MPI started takes itself for the
// whole job, and refuses; one that is bound to a core knows.
func testAlone(t *testing.T, m installation) {
	for _, c := range []struct {
		command  []string
		variable string
		code     int
		want     string
	}{
		{[]string{os.Args[0]}, "SLURM_STEP_NUM_TASKS=4", 2, "SLURM_STEP_NUM_TASKS=4, but MPI counts 1: the launcher does not belong to this MPI, "},
		{[]string{"taskset", "-c", "0", os.Args[0]}, "", 0, fmt.Sprintf("rank 0 may use 1 of %d cores: the launcher binds it", runtime.NumCPU())},
		{[]string{os.Args[0]}, "", 0, "not bound"},
	} {
		if c.command[0] == "taskset" && runtime.NumCPU() == 1 {
			continue
		}
		cmd := exec.Command(c.command[0], c.command[1:]...)
		cmd.Env = append(os.Environ(), "EFCN_MPI="+m.library, "EFCN_MPI_ROLE=binding", c.variable)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != c.code || !strings.HasPrefix(string(out), c.want) {
			t.Errorf("%s: %v %s, want %d %s", c.variable, err, out, c.code, c.want)
		}
	}
}

// testCalls: what all calls return, also in pieces, with Go collecting garbage all
// the time; and what is printed last is seen.
func testCalls(t *testing.T, m installation, ranks int) {
	for _, role := range []string{"calls", "garbage", "overlap", "mismatch"} {
		if role == "mismatch" && ranks == 1 {
			continue
		}
		m.start(t, ranks, role).succeed(t)
	}
	for range 5 {
		j := m.start(t, ranks, "last")
		j.succeed(t)
		for rank := range ranks {
			for line := range 100 {
				if text := fmt.Sprintf("rank %d line %d\n", rank, line); !strings.Contains(j.stdout.String(), text) {
					t.Fatalf("stdout lacks %q:\n%s", text, &j.stdout)
				}
			}
		}
	}
}

// testRepeats: sums that depend on their order are the same bits in each run.
func testRepeats(t *testing.T, m installation, ranks int) {
	var first []string
	for range 3 {
		j := m.start(t, ranks, "sums")
		j.succeed(t)
		lines := slices.Sorted(strings.Lines(j.stdout.String()))
		if len(lines) != ranks || first != nil && !slices.Equal(lines, first) {
			t.Fatalf("got %q, before %q", lines, first)
		}
		first = lines
	}
}

// testSignals: signals that Go ignores or the program handles do no harm, and the
// others end the job.
func testSignals(t *testing.T, m installation, ranks int) {
	j := m.start(t, ranks, "handled")
	j.await(t)
	for i := range 200 {
		for _, process := range j.ready {
			if err := syscall.Kill(process, []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP}[i%2]); err != nil {
				t.Fatalf("%v\n%s", err, &j.stderr)
			}
		}
		time.Sleep(time.Millisecond)
	}
	for _, process := range j.ready {
		if err := syscall.Kill(process, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
	}
	j.succeed(t)

	for _, c := range []struct {
		signal syscall.Signal
		text   string
	}{
		{syscall.SIGINT, fmt.Sprintf("rank %d of %d: stopped", ranks-1, ranks)},
		{syscall.SIGTERM, fmt.Sprintf("rank %d of %d: stopped", ranks-1, ranks)},
		{syscall.SIGHUP, ""},
	} {
		j := m.start(t, ranks, "endless")
		j.await(t)
		if err := syscall.Kill(j.ready[ranks-1], c.signal); err != nil {
			t.Fatal(err)
		}
		j.fail(t, c.text)
	}
}

// testFails: a rank that fails, panics or exits ends the job.
func testFails(t *testing.T, m installation, ranks int) {
	name := fmt.Sprintf("rank %d of %d: ", ranks-1, ranks)
	for _, c := range []struct{ role, text string }{
		{"abort", name + "it failed"},
		{"panic", name + "panic: it panicked"},
		{"panicBeside", name + "panic: it panicked"},
		{"unguarded", "panic: it panicked"},
		{"stuck", name + "it failed"},
		{"agree", "the first: the second file is missing"},
		{"late", "context deadline exceeded"},
	} {
		if ranks == 1 && slices.Contains([]string{"stuck", "agree", "late"}, c.role) {
			continue
		}
		t.Run(c.role, func(t *testing.T) { m.start(t, ranks, c.role).fail(t, c.text) })
	}
	// One that ends as if all were well; MPICH's launcher takes its word for it.
	t.Run("exit", func(t *testing.T) { m.start(t, ranks, "exit").end(t) })
}

// testKilled: a rank that is killed at any moment ends the others, and so does the
// launcher.
func testKilled(t *testing.T, m installation, ranks int) {
	rng := rand.New(rand.NewPCG(7, uint64(ranks)))
	for range 5 {
		j := m.start(t, ranks, "endless")
		j.await(t)
		time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
		if err := syscall.Kill(j.ready[rng.IntN(ranks)], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		j.fail(t, "")
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("the job ended %v after the rank", took)
		}
	}
	j := m.start(t, ranks, "endless")
	j.await(t)
	if err := j.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	j.end(t)
}
