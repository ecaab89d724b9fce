package main

import (
	"errors"
	"fmt"
	"testing"

	"efcn/convert"
	"efcn/internal/mpi"
	"efcn/internal/ort"
	"efcn/onnxio"
)

// TestAdvised: advice stands behind its own error, however that is wrapped.
func TestAdvised(t *testing.T) {
	one := &convert.OtherTypeError{Node: "a", Op: "Conv", Type: onnxio.Float64}
	two := &convert.OtherTypeError{Node: "b", Op: "Conv", Type: onnxio.Float64}
	plain := errors.New("plain")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"none", plain, "plain"},
		{"wrapped", fmt.Errorf("cnn.onnx: %w; and so on", one), "cnn.onnx: " + one.Error() + " (--as float32); and so on"},
		{"joined", errors.Join(one, plain, two), one.Error() + " (--as float32)\nplain\n" + two.Error() + " (--as float32)"},
		{"twice the same", errors.Join(one, one), one.Error() + " (--as float32)\n" + one.Error() + " (--as float32)"},
		{"replaced", fmt.Errorf("x: %w", &ort.LibraryError{File: "f.so", Err: plain}), "x: --ort-lib f.so: plain"},
		{
			"a rank bound to a core", &mpi.BindingError{Rank: 1, Cores: 1, Node: 4},
			"rank 1 may use 1 of 4 cores: the launcher binds it; mpirun --bind-to none leaves it all of them, mpirun --map-by slot:PE=2 two",
		},
		{
			"a launcher of another MPI", &mpi.SizeError{Variable: "PMI_SIZE", Launched: 2, Size: 1, Library: "Open MPI v5"},
			"PMI_SIZE=2, but MPI counts 1: the launcher does not belong to this MPI, Open MPI v5; start efcn with the mpirun of that MPI, or srun --mpi=pmix (pmi2 for MPICH), or name the launcher's library with EFCN_MPI=FILE",
		},
	} {
		if got := advised(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
