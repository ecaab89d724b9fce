package finetune

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
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
}

func (e *MemoryError) Error() string {
	who := "training"
	if e.Ranks > 1 {
		who = fmt.Sprintf("the part of rank %d of %d", e.Rank, e.Ranks)
	}
	return fmt.Sprintf("%s takes at least %d bytes of memory (weights %d, values of a batch of %d %d), more than the %d "+
		"that %s", who, e.Need, e.Weights, e.Batch, e.Values, e.Allowed, e.Limit)
}

// checkRoom returns a *MemoryError if a run takes more memory than there is. The weights
// have not been read yet.
func (t *trainee[T]) checkRoom(o Options) error {
	e := &MemoryError{Batch: o.Batch, Ranks: 1}
	size := int64(dtypeSize[T]())
	for name, init := range t.initializers {
		if !init.Type.IsFloat() || t.links.Uses(name) == 0 {
			continue
		}
		copies := o.WeightCopies()
		if t.subset.freezes(name) {
			copies = 1
		}
		e.Weights += int64(copies) * size * int64(product(toInts(init.Dims)))
	}
	values := product(t.sampleShape())
	if t.part != nil {
		e.Rank, e.Ranks = t.ranks.Rank(), t.ranks.Size()
		for _, g := range t.part.Gathers {
			values += g.Size
		}
	}
	e.Values = size * int64(o.Batch) * int64(values)
	e.Need = e.Weights + e.Values
	if e.Allowed, e.Limit = AvailableBytes(); e.Limit == "" || e.Need <= e.Allowed {
		return nil
	}
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
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	if kib, ok := numberAfter(bufio.NewScanner(f), "MemAvailable:"); ok {
		left, limit = kib<<10, "the machine has left"
	}
	most, errMost := readNumber("/sys/fs/cgroup/memory.max")
	used, errUsed := readNumber("/sys/fs/cgroup/memory.current")
	if errMost == nil && errUsed == nil && limit != "" {
		left = min(left, max(0, most-used+reclaimable("/sys/fs/cgroup/memory.stat")))
	}
	if space, ok := addressSpace(); ok && (limit == "" || space < left) {
		left, limit = space, "the limit of the process leaves"
	}
	return left, limit
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
