package relax

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"efcn/convert"
)

// MemoryError says that a run of a kind would take more memory than there is, or than
// Options.MaxMemory allows.
type MemoryError struct {
	Kind Kind
	// Need is the least that a run takes, in bytes: Weights, with the gradient and what
	// the optimiser keeps of them, and Values, what the linear layers compute of a Batch.
	Need, Weights, Values int64
	Batch                 int
	Allowed               int64
	// Machine says that the limit is the memory that the machine has left.
	Machine bool
}

func (e *MemoryError) Error() string {
	limit := "allowed"
	if e.Machine {
		limit = "that the machine has left"
	}
	return fmt.Sprintf("%s: a run takes at least %d bytes of memory (weights %d, values of a batch of %d %d), "+
		"more than the %d %s", e.Kind, e.Need, e.Weights, e.Batch, e.Values, e.Allowed, limit)
}

// checkMemory returns a *MemoryError if a run of that kind, of the eFCN of that plan,
// takes more memory than there is.
func (s *Study) checkMemory(k Kind, plan *convert.Plan) error {
	o := s.Options.Train
	o.Train = k.train()
	e := &MemoryError{Kind: k, Batch: o.Batch, Weights: int64(o.WeightCopies()) * plan.WeightBytes}
	for _, l := range plan.Layers {
		e.Values += 4 * int64(o.Batch) * l.Rows
	}
	e.Need = e.Weights + e.Values
	e.Allowed, e.Machine = availableBytes()
	if most := s.Options.MaxMemory; most > 0 && (most < e.Allowed || !e.Machine) {
		e.Allowed, e.Machine = most, false
	}
	if e.Allowed == 0 || e.Need <= e.Allowed {
		return nil
	}
	return e
}

// availableBytes returns how much memory the machine, or the group of processes that
// this one is in, has left without swapping, where Linux says so.
func availableBytes() (left int64, known bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			left, known = kib<<10, err == nil
		}
	}
	limit, errLimit := readNumber("/sys/fs/cgroup/memory.max")
	used, errUsed := readNumber("/sys/fs/cgroup/memory.current")
	if errLimit == nil && errUsed == nil && known {
		left = min(left, max(0, limit-used+reclaimable("/sys/fs/cgroup/memory.stat")))
	}
	return left, known
}

// reclaimable returns how much of the memory that a group of processes uses is files read
// or written before, which the system lets go of when memory is short: the line
// inactive_file of memory.stat.
func reclaimable(path string) (bytes int64) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "inactive_file "); ok {
			bytes, err = strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		}
	}
	if err != nil {
		return 0
	}
	return bytes
}

// readNumber reads a file that holds a number.
func readNumber(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
