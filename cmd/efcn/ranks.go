package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"efcn/convert/cut"
	"efcn/finetune"
	"efcn/internal/kernel"
	"efcn/internal/mpi"
	"efcn/onnxio"
)

// underLauncher says how a command is done where an MPI launcher started several
// processes. One that is not here is refused there: each process would do the same, and
// write the same file.
var underLauncher = map[string]byRanks{
	"convert":  onFirstRank,
	"eval":     onAllRanks,
	"finetune": onAllRanks,
	"measure":  onAllRanks,
	"run":      onAllRanks,
	"verify":   onAllRanks,
	"relax":    independently,
	"version":  independently,
}

// byRanks is how the processes of a job do a command.
type byRanks int

const (
	refused       byRanks = iota
	independently         // each for itself; MPI is not loaded
	onFirstRank           // rank 0 does it, the others wait
	onAllRanks            // together, over env.world
)

// first reports whether this process is the one that prints and writes: rank 0, or the
// only one.
func (e *env) first() bool { return e.world == nil || e.world.Rank() == 0 }

// startRanks starts MPI where a launcher started several processes for cmd, and silences
// all ranks but the first. It returns how many cores this process has.
func (e *env) startRanks(cmd *cobra.Command) (cores int, err error) {
	how := underLauncher[cmd.Name()]
	if !mpi.Launched() || how == independently {
		return runtime.NumCPU(), nil
	}
	if how == refused {
		return 0, usagef("a launcher started several processes for what one does; start %s without mpirun or srun",
			cmd.CommandPath())
	}
	ctx := cmd.Context()
	if e.world, err = mpi.Init(ctx, mpi.Options{}); err != nil {
		return 0, err
	}
	if !e.first() {
		e.out, e.err = io.Discard, io.Discard
	}
	e.logf("%d ranks of %s", e.world.Size(), e.world)
	if how == onFirstRank {
		e.notef("%s: rank 0 of %d does it, the others wait", cmd.CommandPath(), e.world.Size())
		return runtime.NumCPU(), nil
	}
	return e.shareCores(ctx, cmd.CommandPath())
}

// site is where a rank computes, and how.
type site struct {
	Host     string
	Mask     string // the cores that the process may use, as Linux lists them
	Cores    int    // their number
	Products string // what multiplies matrices
}

// shareCores returns how many cores each rank has for itself: as many as the one that has
// the fewest, as what all ranks compute is the same bits on the same number of threads
// only. Ranks of one node that may use the same cores share them.
func (e *env) shareCores(ctx context.Context, name string) (int, error) {
	host, err := os.Hostname()
	if err != nil {
		return 0, err
	}
	own := site{host, coreMask(), runtime.NumCPU(), kernel.BLAS()}
	message, err := json.Marshal(own)
	if err != nil {
		return 0, err
	}
	messages, err := e.world.AllgatherBytes(ctx, message)
	if err != nil {
		return 0, err
	}
	sites := make([]site, len(messages))
	sharing := map[site]int{} // ranks on the same cores
	for r := range sites {
		if err := json.Unmarshal(messages[r], &sites[r]); err != nil {
			return 0, err
		}
		sharing[sites[r]]++
	}
	fewest, here := own.Cores, 0
	for r, p := range sites {
		if p.Products != own.Products {
			return 0, &productsError{ranks: [2]int{e.world.Rank(), r}, products: [2]string{own.Products, p.Products}}
		}
		fewest = min(fewest, max(1, p.Cores/sharing[p]))
	}
	for p := range sharing {
		if p.Host == own.Host {
			here += p.Cores
		}
	}
	binding, bound := errors.AsType[*mpi.BindingError](e.world.Binding())
	if bound && here < binding.Node && (e.threads == 0 || e.threads > binding.Cores) {
		e.notef("%s: %s", name, oneLine(binding))
	}
	return fewest, nil
}

// coreMask returns the list of cores that this process may use, and "" where Linux does
// not tell.
func coreMask() string {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return ""
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if list, ok := strings.CutPrefix(lines.Text(), "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(list)
		}
	}
	return ""
}

// productsError reports that two ranks multiply matrices by different code, which does
// not round alike: what both compute would differ.
type productsError struct {
	ranks    [2]int
	products [2]string
}

func (e *productsError) Error() string {
	return fmt.Sprintf("rank %d multiplies matrices by %s, rank %d by %s, which do not round alike",
		e.ranks[0], e.products[0], e.ranks[1], e.products[1])
}

// overRanks returns run as the ranks of a job do it.
func (e *env) overRanks(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if e.world == nil {
			return run(cmd, args)
		}
		defer e.world.AbortOnPanic()
		if underLauncher[cmd.Name()] == onFirstRank && !e.first() {
			return nil
		}
		return run(cmd, args)
	}
}

// sameErrorTime is how long ranks but the first wait before they report an error, and end.
// What all find wrong is then reported once: the first rank to fail ends the others.
const sameErrorTime = time.Second

// endRanks prints why cmd failed, if message is not empty, ends MPI, and returns the exit
// code. One rank that fails ends all.
func (e *env) endRanks(ctx context.Context, cmd *cobra.Command, code int, message string) int {
	if e.world == nil {
		if message == "" {
			return code
		}
		if !firstLaunched() && underLauncher[cmd.Name()] != independently {
			time.Sleep(sameErrorTime) // the launcher may end all when one ends
			return code
		}
		fmt.Fprintln(e.err, message)
		return code
	}
	if message == "" {
		ctx = context.WithoutCancel(ctx)
		err := e.logRanks(ctx)
		if err == nil {
			err = e.world.Close(ctx)
		}
		if err == nil {
			return code
		}
		code, message = exitBad, fmt.Sprintf("%s: %v", cmd.CommandPath(), err)
	}
	if !e.first() {
		time.Sleep(sameErrorTime)
	}
	e.world.Abort(code, errors.New(message))
	return code
}

// logRanks prints, if -v asks for it, the most memory that each rank had and what it sent.
func (e *env) logRanks(ctx context.Context) error {
	if !e.verbose {
		return nil
	}
	sent := e.world.Traffic()
	text := formatBytes(finetune.PeakBytes()) + " of memory at most"
	for _, call := range slices.Sorted(maps.Keys(sent)) {
		if sent[call].Bytes > 0 {
			text += fmt.Sprintf(", %d %s sent %d bytes", sent[call].Calls, call, sent[call].Bytes)
		}
	}
	lines, err := e.world.AllgatherBytes(ctx, []byte(text))
	for rank, line := range lines {
		e.logf("rank %d: %s", rank, line)
	}
	return err
}

// ranksHelp is what commands that run a model over several ranks say of it.
const ranksHelp = `Under mpirun or srun the ranks run the model together: each reads and holds its rows
of the large layers, and rank 0 reports.
`

// cut returns the model of this rank.
func (e *env) cut(m *onnxio.Model) (*onnxio.Model, error) {
	part, err := cut.Model(m, cut.Options{Rank: e.world.Rank(), Ranks: e.world.Size()})
	if err != nil {
		return nil, err
	}
	whole, nothing := part.Remarks()
	for _, line := range whole {
		e.logf("%s", line)
	}
	if nothing != "" {
		e.notef("%s", nothing)
	}
	var own, all int64
	for _, l := range part.Layers {
		own, all = own+l.Own, all+l.Bytes
	}
	e.logf("rank 0 has %s of %s of weights in large layers", formatBytes(own), formatBytes(all))
	return part.Model, nil
}

// alike returns an error if values that all ranks have computed are not the same bits on
// all of them.
func (e *env) alike(ctx context.Context, values []*onnxio.Tensor) error {
	if e.world == nil {
		return nil
	}
	sum := fnv.New128a()
	for _, t := range values {
		if _, err := t.Data.WriteTo(sum); err != nil {
			return err
		}
	}
	rank, _, _, err := e.world.Different(ctx, sum.Sum(nil))
	if err == nil && rank > 0 {
		err = fmt.Errorf("rank %d computes other values than rank 0: the ranks have to have the same model and data", rank)
	}
	return err
}

// firstLaunched reports whether this process is rank 0 of a job by what the launcher says,
// before or without MPI, or in no job.
func firstLaunched() bool {
	if !mpi.Launched() {
		return true
	}
	for _, name := range []string{"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", "PMIX_RANK"} {
		if rank := os.Getenv(name); rank != "" {
			return rank == "0"
		}
	}
	return true
}
