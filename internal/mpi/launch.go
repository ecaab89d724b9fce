package mpi

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// job is what a launcher put into the environment of the processes it started.
type job struct {
	variable string // where its size is from
	size     int    // 0 if it is not known
}

// sizeVariables name the number of processes, by launcher. mpirun under Slurm starts
// its own helpers with srun, whose variables the ranks inherit: it comes first.
var sizeVariables = []string{
	"OMPI_COMM_WORLD_SIZE", // mpirun of Open MPI
	"PMI_SIZE",             // mpirun of MPICH and Intel MPI; srun --mpi=pmi2
	"SLURM_STEP_NUM_TASKS", // srun, which sets no more than this where it is not told of MPI
}

func launched(getenv func(string) string) job {
	for _, name := range sizeVariables {
		if n, err := strconv.Atoi(getenv(name)); err == nil && n > 0 {
			return job{name, n}
		}
	}
	return job{}
}

// Launched reports whether this process is one of several that an MPI launcher
// started: OMPI_COMM_WORLD_SIZE, PMI_SIZE or SLURM_STEP_NUM_TASKS, the first of them
// that is set, is more than 1, or none of them is and PMIX_RANK is. In the script of
// an sbatch, which is one process, it is false.
func Launched() bool { return isLaunched(os.Getenv) }

func isLaunched(getenv func(string) string) bool {
	return launched(getenv).size != 1 && isStarted(getenv)
}

// isStarted reports whether a launcher started this process, be it the only one.
func isStarted(getenv func(string) string) bool {
	return launched(getenv).size > 0 || getenv("PMIX_RANK") != ""
}

// settings are the environment variables that are set before the library is loaded,
// where the user has not set them.
var settings = [][2]string{
	{"UCX_DEBUG_SIGNO", "0"},                      // no handler of SIGHUP
	{"UCX_ERROR_SIGNALS", "SIGILL,SIGBUS,SIGFPE"}, // SIGSEGV is how Go learns of a nil pointer
	{"UCX_MEMTYPE_CACHE", "no"},                   // it hooks malloc, for memory of GPUs that is not sent here
	{"HFI_NO_BACKTRACE", "1"},                     // no handlers of Omni-Path's library
	{"IPATH_NO_BACKTRACE", "1"},                   // and of its predecessor
}

// prepare sets them, for C too: os.Setenv reaches its getenv.
func prepare(lookup func(string) (string, bool), set func(name, value string) error) error {
	for _, s := range settings {
		if _, ok := lookup(s[0]); !ok {
			if err := set(s[0], s[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// BindingError reports that the launcher bound this rank to fewer cores than its
// node has, which is all that Go's threads can use. It is a warning: all is
// computed, on these cores.
type BindingError struct{ Rank, Cores, Node int }

func (e *BindingError) Error() string {
	return fmt.Sprintf("rank %d may use %d of %d cores: the launcher binds it", e.Rank, e.Cores, e.Node)
}

// countCores reads a list of cores as Linux writes it: 0-3,8.
func countCores(list string) (int, error) {
	n := 0
	for span := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(span, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return 0, err
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return 0, err
		}
		n += to - from + 1
	}
	return n, nil
}

// Binding returns a [*BindingError] if this rank is bound to a part of the cores of
// its node, and nil if it is not or where that is not known.
func (w *World) Binding() error {
	list, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil
	}
	node, err := countCores(string(list))
	if err != nil || runtime.NumCPU() >= node {
		return nil
	}
	return &BindingError{Rank: w.rank, Cores: runtime.NumCPU(), Node: node}
}
