package main

import "testing"

func TestLaunchedShard(t *testing.T) {
	for _, l := range launchers {
		for _, name := range []string{l.index, l.least, l.step, l.count} {
			if name != "" {
				t.Setenv(name, "")
			}
		}
	}
	for name, c := range map[string]struct {
		set          map[string]string
		index, count int // count 0: none
		refused      bool
	}{
		"alone":        {},
		"array":        {map[string]string{"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, 3, 4, false},
		"array from 2": {map[string]string{"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "2", "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4"}, 2, 4, false},
		"one again":    {map[string]string{"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}, 0, 0, false},
		"uneven":       {map[string]string{"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3"}, 0, 0, true},
		"Open MPI":     {map[string]string{"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, 0, 2, false},
		"srun":         {map[string]string{"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, 1, 2, false},
		"mpirun in a step of Slurm": {map[string]string{
			"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2",
		}, 3, 4, false},
		"array of srun": {map[string]string{
			"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2",
		}, 3, 6, false},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.set {
				t.Setenv(k, v)
			}
			s, launcher, err := launchedShard()
			switch {
			case c.refused != (err != nil):
				t.Errorf("error %v", err)
			case err == nil && (s == nil) != (c.count == 0):
				t.Errorf("%+v by %q", s, launcher)
			case s != nil && (s.Index != c.index || s.Count != c.count || launcher == ""):
				t.Errorf("%+v by %q, want %d of %d", s, launcher, c.index, c.count)
			}
		})
	}
}
