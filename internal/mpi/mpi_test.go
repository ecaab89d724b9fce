package mpi

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests here need no MPI and do the same where there is one; those of
// jobs_test.go run jobs.

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// TestLaunched: the launchers' variables are told apart from what a batch script, an
// interactive step and a job of one process have.
func TestLaunched(t *testing.T) {
	for _, c := range []struct {
		name      string
		variables map[string]string
		launched  bool
		variable  string
		size      int
	}{
		{"nothing", nil, false, "", 0},
		{"Open MPI", map[string]string{"OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "1"}, true, "OMPI_COMM_WORLD_SIZE", 4},
		{"Hydra", map[string]string{"PMI_SIZE": "2", "PMI_RANK": "0"}, true, "PMI_SIZE", 2},
		{"one process", map[string]string{"OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, false, "OMPI_COMM_WORLD_SIZE", 1},
		{"srun", map[string]string{"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}, true, "SLURM_STEP_NUM_TASKS", 8},
		{"srun --mpi=pmix", map[string]string{"SLURM_STEP_NUM_TASKS": "8", "PMIX_RANK": "3"}, true, "SLURM_STEP_NUM_TASKS", 8},
		{"srun --pty bash", map[string]string{"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}, false, "SLURM_STEP_NUM_TASKS", 1},
		{"the script of sbatch", map[string]string{"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, false, "", 0},
		{"mpirun in an allocation of two nodes", map[string]string{"OMPI_COMM_WORLD_SIZE": "8", "SLURM_STEP_NUM_TASKS": "2"}, true, "OMPI_COMM_WORLD_SIZE", 8},
		{"PMIx alone", map[string]string{"PMIX_RANK": "0"}, true, "", 0},
		{"nonsense", map[string]string{"PMI_SIZE": "many"}, false, "", 0},
	} {
		getenv := environment(c.variables)
		if got := isLaunched(getenv); got != c.launched {
			t.Errorf("%s: launched %v, want %v", c.name, got, c.launched)
		}
		if got := launched(getenv); got != (job{c.variable, c.size}) {
			t.Errorf("%s: %v, want %s=%d", c.name, got, c.variable, c.size)
		}
	}
}

// TestPrepare: what the user has set stays, even if it is empty.
func TestPrepare(t *testing.T) {
	given := map[string]string{"UCX_MEMTYPE_CACHE": "yes", "HFI_NO_BACKTRACE": ""}
	set := map[string]string{}
	err := prepare(
		func(name string) (string, bool) { v, ok := given[name]; return v, ok },
		func(name, value string) error { set[name] = value; return nil },
	)
	if err != nil || len(set) != len(settings)-2 || set["UCX_DEBUG_SIGNO"] != "0" {
		t.Errorf("set %v (%v)", set, err)
	}
	broken := errors.New("no room")
	if err := prepare(os.LookupEnv, func(string, string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestCandidates: the library beside the launcher comes first, then those of
// environments, then the system's, in each place the launcher's kind first.
func TestCandidates(t *testing.T) {
	root := t.TempDir()
	file := func(place, name string) string {
		file := filepath.Join(root, place, "lib", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	beside := file("launcher", "libmpi.so.12")
	venv, other := file("venv", "libmpi.so.12"), file("venv", "libmpi.so.40")
	conda := file("conda", "libmpi_abi.so.1")
	variables := map[string]string{
		"PMI_SIZE": "2", "VIRTUAL_ENV": filepath.Join(root, "venv"), "CONDA_PREFIX": filepath.Join(root, "conda"),
	}
	getenv := environment(variables)
	want := append([]string{beside, venv, other, conda}, libraryNames(getenv)...)
	if got := candidates(getenv, filepath.Join(root, "launcher", "bin")); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	delete(variables, "PMI_SIZE")
	want = append([]string{other, venv, conda}, libraryNames(getenv)...)
	if got := candidates(getenv, ""); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestFindRefuses(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.so")
	if err := os.WriteFile(broken, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, env, want string }{
		{"", "off", "MPI is switched off by EFCN_MPI=off; unset that"},
		{"", broken, "MPI: " + broken + ": "},
		{broken, "off", "MPI: " + broken + ": "},
	} {
		_, err := find(c.file, environment(map[string]string{"EFCN_MPI": c.env}))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Count(err.Error(), broken) > 1 {
			t.Errorf("file %q, EFCN_MPI %q: got %v, want %q", c.file, c.env, err, c.want)
		}
	}
}

func TestCountCores(t *testing.T) {
	for list, want := range map[string]int{"0\n": 1, "0-3\n": 4, "0-1,4,6-7\n": 5} {
		if got, err := countCores(list); got != want || err != nil {
			t.Errorf("%q: %d (%v), want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "a", "0-b"} {
		if _, err := countCores(list); err == nil {
			t.Errorf("%q is a list", list)
		}
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"MPICH Version:      5.0.2\nABI: 17\x00rest":              "MPICH Version: 5.0.2",
		"Open MPI v5.0.11, package: Open MPI a@b, ident: 5.0\x00": "Open MPI v5.0.11",
		"Intel(R) MPI Library 2021.14 for Linux* OS\n\x00":        "Intel(R) MPI Library 2021.14 for Linux* OS",
	} {
		if got := firstLine([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestCombine: the order is that of the ranks, and NaN stays.
func TestCombine(t *testing.T) {
	parts := [][]float32{{1, 1e8}, {1e8, -1e8}, {-1e8, 1}}
	got := parts[1]
	combine(got, slices.Clone(parts), Sum)
	// (1 + 1e8) - 1e8 loses the 1; (1e8 - 1e8) + 1 does not.
	if got[0] != 0 || got[1] != 1 {
		t.Errorf("got %v", got)
	}
	nan := float32(0)
	nan /= nan
	largest := make([]float32, 3)
	combine(largest, [][]float32{{1, nan, -2}, {3, 1, -1}}, Max)
	if largest[0] != 3 || largest[1] == largest[1] || largest[2] != -1 {
		t.Errorf("got %v", largest)
	}
}

// TestCut: counts have to be those of the buffer and of the ranks.
func TestCut(t *testing.T) {
	w := &World{size: 3}
	data := []int64{1, 2, 3, 4, 5}
	blocks, err := cut(w, data, []int{2, 0, 3})
	if err != nil || len(blocks[0]) != 2 || len(blocks[1]) != 0 || blocks[2][0] != 3 {
		t.Errorf("got %v (%v)", blocks, err)
	}
	for _, counts := range [][]int{{5}, {5, 0, 0, 0}, {2, 2, 2}, {2, 2, 0}, {6, -1, 0}, {-1, 6, 0}} {
		if _, err := cut(w, data, counts); err == nil {
			t.Errorf("%v is taken", counts)
		}
	}
}

// TestRoundUp: a buffer holds what it is for, is at most twice as large, or 4 MiB larger,
// and few sizes serve all.
func TestRoundUp(t *testing.T) {
	for bytes, want := range map[int]int{
		0: 0, 1: 1, 8: 8, 9: 16, 1000: 1024, 4<<20 - 1: 4 << 20, 4 << 20: 4 << 20, 4<<20 + 1: 8 << 20, 9 << 20: 12 << 20,
	} {
		if got := roundUp(bytes); got != want {
			t.Errorf("%d bytes: %d, want %d", bytes, got, want)
		}
	}
}
