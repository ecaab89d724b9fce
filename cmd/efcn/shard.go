package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"efcn/finetune/relax"
)

// parseShard reads i/n, counted from 1.
func parseShard(text string) (*relax.Shard, error) {
	first, second, ok := strings.Cut(text, "/")
	i, errI := strconv.Atoi(first)
	n, errN := strconv.Atoi(second)
	if !ok || errI != nil || errN != nil || i < 1 || i > n {
		return nil, fmt.Errorf("want I/N, the share I of N, from 1/N to N/N")
	}
	return &relax.Shard{Index: i - 1, Count: n}, nil
}

// launchers are the variables by which a process knows which of several it is, and of how
// many. They are set for each of several processes that were started as one job, and
// not, or with a count of 1, for a single one. An array may have tasks of several
// processes each, which a launcher of the others starts.
var launchers = []struct{ name, index, least, step, count string }{
	{
		"a Slurm job array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP",
		"SLURM_ARRAY_TASK_COUNT",
	},
	{"mpirun (Open MPI)", "OMPI_COMM_WORLD_RANK", "", "", "OMPI_COMM_WORLD_SIZE"},
	{"mpirun (MPICH)", "PMI_RANK", "", "", "PMI_SIZE"},
	{"srun", "SLURM_PROCID", "", "", "SLURM_STEP_NUM_TASKS"},
}

// launchedShard returns the share of this process where a launcher started several, and
// which launcher that was; nil where none did. It refuses numbers that leave a share out.
func launchedShard() (shard *relax.Shard, launcher string, err error) {
	number := func(variable string, otherwise int) int {
		n, err := strconv.Atoi(os.Getenv(variable))
		if err != nil {
			return otherwise
		}
		return n
	}
	for i, l := range launchers {
		index, count := number(l.index, -1), number(l.count, 0)
		index = (index - number(l.least, 0)) / max(1, number(l.step, 1))
		if count <= 1 || index < 0 {
			continue
		}
		if index >= count {
			return nil, l.name, fmt.Errorf("%s=%s is not one of %d at equal distances: say which share it is by --shard I/%d",
				l.index, os.Getenv(l.index), count, count)
		}
		if shard != nil { // a process of a task of the array
			return &relax.Shard{Index: shard.Index*count + index, Count: shard.Count * count}, launcher + " and " + l.name, nil
		}
		shard, launcher = &relax.Shard{Index: index, Count: count}, l.name
		if i > 0 {
			break
		}
	}
	return shard, launcher, nil
}
