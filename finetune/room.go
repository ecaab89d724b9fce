package finetune

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"efcn/internal/mpi"
)

// MemoryError says that a run takes more memory than this process can have.
type MemoryError struct {
	// Need is the least that it takes, in bytes: Weights, with the gradients and what the
	// optimiser keeps of them, and Values, the Batch of samples and what ranks exchange of it.
	Need, Weights, Values int64
	Batch                 int
	Allowed               int64
	Limit                 string // what allows no more: see [AvailableBytes]
	Rank, Ranks           int    // which of how many it is that train the model
	// Here is how many ranks of Ranks are on this machine, and Together what these need,
	// where that is more than Allowed. 0 where this process alone needs more.
	Here     int
	Together int64
}

func (e *MemoryError) Error() string {
	who := "training"
	if e.Ranks > 1 {
		who = fmt.Sprintf("the part of rank %d of %d", e.Rank, e.Ranks)
	}
	together := ""
	if e.Here > 0 {
		together = fmt.Sprintf(", the parts of the %d ranks on this machine %d", e.Here, e.Together)
	}
	return fmt.Sprintf("%s takes at least %d bytes of memory (weights %d, values of a batch of %d %d)%s, more than the "+
		"%d that %s", who, e.Need, e.Weights, e.Batch, e.Values, together, e.Allowed, e.Limit)
}

// checkRoom returns a *MemoryError if a run takes more memory than this process can have,
// or the ranks on this machine together more than it has. No rank has read weights yet, nor
// does before all have called it.
func (t *trainee[T]) checkRoom(ctx context.Context, o Options) error {
	e := t.room(o)
	if e.Ranks > 1 {
		return e.checkTogether(ctx, t.team.all)
	}
	if e.Allowed, e.Limit = AvailableBytes(); e.Limit == "" || e.Need <= e.Allowed {
		return nil
	}
	return e
}

// checkTogether returns e if the ranks of w on this machine, or this one, can't have what
// they need.
func (e *MemoryError) checkTogether(ctx context.Context, w *mpi.World) error {
	// What is left is known before any rank hears of the others and begins to take it.
	allowed, limit := AvailableBytes()
	machine, known := machineBytes()
	host, err := os.Hostname()
	if err := agree(ctx, w, err); err != nil {
		return err
	}
	all, err := w.AllgatherBytes(context.WithoutCancel(ctx), fmt.Appendf(nil, "%d %s", e.Need, host))
	if err != nil {
		return err
	}
	here, together := 0, int64(0)
	for _, message := range all {
		text, at, _ := strings.Cut(string(message), " ")
		need, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		if at == host {
			here, together = here+1, saturated(together, need)
		}
	}
	switch {
	case limit != "" && e.Need > allowed:
		e.Allowed, e.Limit = allowed, limit
	case known && together > machine:
		e.Allowed, e.Limit, e.Here, e.Together = machine, machineLimit, here, together
	default:
		return nil
	}
	return e
}

// saturated is a + b, both from 0, or the largest number where that is larger.
func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// room is what a run needs.
func (t *trainee[T]) room(o Options) *MemoryError {
	e := &MemoryError{Batch: t.team.share(o.Batch).n, Ranks: 1}
	size, trained := int64(dtypeSize[T]()), int64(0)
	for name, init := range t.initializers {
		if !init.Type.IsFloat() || t.links.Uses(name) == 0 {
			continue
		}
		elements := int64(product(toInts(init.Dims)))
		copies := o.WeightCopies()
		if t.subset.freezes(name) {
			copies = 1
		} else {
			trained += elements
		}
		e.Weights += int64(copies) * size * elements
	}
	if t.team.isGrouped() { // gradients are sent in parts, and a part of the sum arrives from each group
		e.Weights += 2 * size * min(trained, partSize)
	}
	values := product(t.sampleShape())
	if t.part != nil {
		e.Rank, e.Ranks = t.team.all.Rank(), t.team.all.Size()
		for _, g := range t.part.Gathers {
			values += g.Size
		}
	}
	e.Values = size * int64(e.Batch) * int64(values)
	e.Need = e.Weights + e.Values
	return e
}

// freezes reports whether a weight is known to be frozen before it is read.
func (s *subset) freezes(name string) bool {
	return s.mode == "" && !s.named[name] || s.mode != TrainAll && s.factors[name] ||
		s.mode == TrainOffLocal && (s.weights[name] == nil || s.weights[name].Connected())
}

// AvailableBytes returns how much more memory this process can have, where Linux says so,
// and what the limit is: "the machine has left", without swapping, or "the limit of the
// process leaves", that of its address space. The limit is "" where nothing is known.
func AvailableBytes() (left int64, limit string) {
	left, known := machineBytes()
	if known {
		limit = machineLimit
	}
	if space, ok := addressSpace(); ok && (limit == "" || space < left) {
		left, limit = space, "the limit of the process leaves"
	}
	return left, limit
}

const machineLimit = "the machine has left"

// machineBytes returns how much memory the processes of this machine, or of this container,
// can have beside what they have, false where the system does not tell.
func machineBytes() (left int64, known bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	kib, known := numberAfter(bufio.NewScanner(f), "MemAvailable:")
	if !known {
		return 0, false
	}
	left = kib << 10
	most, errMost := readNumber("/sys/fs/cgroup/memory.max")
	used, errUsed := readNumber("/sys/fs/cgroup/memory.current")
	if errMost == nil && errUsed == nil {
		left = min(left, max(0, most-used+reclaimable("/sys/fs/cgroup/memory.stat")))
	}
	return left, true
}

// addressSpace returns how much of its address space this process may still take, false
// where that has no limit.
func addressSpace() (left int64, limited bool) {
	limits, err := os.Open("/proc/self/limits")
	if err != nil {
		return 0, false
	}
	defer limits.Close()
	most, ok := numberAfter(bufio.NewScanner(limits), "Max address space")
	if !ok {
		return 0, false
	}
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, false
	}
	defer status.Close()
	kib, ok := numberAfter(bufio.NewScanner(status), "VmSize:")
	return max(0, most-kib<<10), ok
}

// numberAfter returns the number that follows the beginning of a line.
func numberAfter(lines *bufio.Scanner, begin string) (n int64, ok bool) {
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), begin); found {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0, false
			}
			n, err := strconv.ParseInt(fields[0], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// reclaimable returns how much of the memory that a group of processes uses is files read
// or written before, which the system lets go of when memory is short: the line
// inactive_file of memory.stat.
func reclaimable(path string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _ := numberAfter(bufio.NewScanner(f), "inactive_file ")
	return n
}

// readNumber reads a file that holds a number.
func readNumber(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
