package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"efcn"
	"efcn/convert"
	"efcn/convert/compress"
	"efcn/convert/verify"
	"efcn/finetune"
	"efcn/finetune/data"
	"efcn/finetune/landscape"
	"efcn/finetune/relax"
	"efcn/finetune/report"
	"efcn/internal/cuda"
	"efcn/internal/mpi"
	"efcn/internal/ort"
)

// advice is the one place that knows what to type about an error of a package:
// packages know no flags. Each row takes an error of one type and returns its
// message with the flags that would help.
var advice = []func(error) (text string, ok bool){
	when(func(e *efcn.InvalidError) string {
		if len(e.Faults) == 1 {
			return e.Error()
		}
		return strings.TrimSuffix(e.Error(), ")") + "; efcn check lists them)"
	}),
	when(func(e *convert.OtherTypeError) string { return e.Error() + " (--as float32)" }),
	when(openShape),
	when(func(e *convert.UnrecognisedError) string {
		return e.Error() + " (--map NODE=NAME says it: a node of the CNN, a product of the eFCN)"
	}),
	when(func(e *convert.MaximumError) string {
		why := e.Err.Error()
		if open, ok := errors.AsType[*convert.OpenShapeError](e.Err); ok {
			why = openShape(open)
		}
		return fmt.Sprintf("--maxpool relu: %s; --layer %s=keep leaves the node as it is", why, e.Node)
	}),
	when(func(e *convert.BudgetError) string {
		layout := ""
		if e.Local <= e.Allowed {
			layout = fmt.Sprintf("--layout local (about %d bytes) or ", e.Local)
		}
		return fmt.Sprintf("%v; %s--max-bytes %d would fit", e, layout, e.Need)
	}),
	when(compressBudget),
	when(func(e *convert.AlreadyError) string {
		return e.Error() + " (efcn convert --to LAYOUT takes it to another layout)"
	}),
	when(func(e *compress.LossError) string {
		verb := "cuts it"
		if e.OffLocal == 0 {
			verb = "rounds them"
		}
		return fmt.Sprintf("%v (efcn compress --layout %s %s)", e, e.To, verb)
	}),
	when(func(e *compress.SparseSizeError) string {
		return e.Error() + "; a smaller --keep or --layout factored takes less"
	}),
	when(func(e *compress.EnergyError) string {
		return fmt.Sprintf("%v (--layer %s=factored:%d, or =dense)", e, e.Layer, e.Rank)
	}),
	when(func(e *finetune.MemoryError) string {
		return e.Error() + "; a smaller --batch or plain sgd takes less, and mpirun -n N leaves each of N processes a part"
	}),
	when(func(e *finetune.GroupsError) string {
		if e.Ranks == 1 {
			return e.Error() + fmt.Sprintf("; start --data-parallel %d with mpirun -n P, P a multiple of it", e.Groups)
		}
		return e.Error() + " (--data-parallel)"
	}),
	when(func(e *finetune.DeviceError) string { return e.Error() + " (--device cpu)" }),
	when(func(e *cuda.MemoryError) string {
		return e.Error() + "; a smaller --batch takes less, and --device cpu the memory of the machine"
	}),
	when(func(e *finetune.NoFolderError) string { return e.Error() + " (--checkpoint DIR)" }),
	when(func(e *relax.MemoryError) string {
		text := e.Error() + "; a smaller --batch, plain sgd or --layout factored with a smaller --rank takes less"
		if !e.Machine {
			text += fmt.Sprintf(", --max-memory %d allows it", e.Need)
		}
		return text
	}),
	when(func(e *verify.IntegerInputError) string {
		return e.Error() + "; give it with --inputs, and --samples 0"
	}),
	when(func(e *verify.InputShapeError) string {
		return fmt.Sprintf("%v with --input-shape %s=DIMS", e, e.Input)
	}),
	when(func(e *verify.PrecisionError) string {
		return fmt.Sprintf("%v (--as %s judges by that)", e, e.Narrow())
	}),
	when(func(e *verify.CoarserError) string {
		if !slices.Contains(judgedTypes, e.Type) {
			return e.Error()
		}
		return fmt.Sprintf("%v (--as %s judges by that)", e, e.Type)
	}),
	when(func(e *ort.NotFoundError) string { return e.Error() + " with --ort-lib FILE" }),
	when(func(e *ort.LibraryError) string { return fmt.Sprintf("--ort-lib %s: %v", e.File, e.Err) }),
	when(func(e *mpi.SizeError) string {
		return e.Error() + "; start efcn with the mpirun of that MPI, or srun --mpi=pmix (pmi2 for MPICH), " +
			"or name the launcher's library with EFCN_MPI=FILE"
	}),
	when(func(e *mpi.BindingError) string {
		return e.Error() + "; mpirun --bind-to none leaves it all of them, mpirun --map-by slot:PE=2 two"
	}),
	when(func(e *productsError) string { return e.Error() + "; with EFCN_OPENBLAS=off on all ranks they do" }),
	when(func(e *finetune.LayoutError) string {
		return fmt.Sprintf("%v (efcn convert --layout %s)", e, e.Want)
	}),
	when(func(e *data.ImageError) string { return e.Error() + " (--skip-bad leaves out what cannot be read)" }),
	when(func(e *finetune.SubspaceError) string {
		if e.Learned {
			return e.Error() + " (--refresh N; or efcn project, efcn convert --layout factored)"
		}
		return e.Error() + " (efcn convert --layout factored)"
	}),
	when(func(e *landscape.ArchitectureError) string { return e.Error() + " (efcn convert embeds a CNN)" }),
	when(func(e *report.FolderError) string {
		return e.Error() + ": that of efcn relax, or of efcn finetune --checkpoint"
	}),
}

// compressBudget adds what makes the result of compress fit.
func compressBudget(e *compress.BudgetError) string {
	smaller := ""
	switch {
	case e.Target.Rank > 1:
		smaller = " or a smaller --rank"
	case e.AtLeast: // that is with the smallest --energy or --keep
	case e.Target.Energy > 0:
		smaller = " or a smaller --energy"
	case e.Target.Keep > 0:
		smaller = " or a smaller --keep"
	}
	if e.AtLeast {
		return fmt.Sprintf("%v; want a larger --max-bytes%s", e, smaller)
	}
	return fmt.Sprintf("%v; want --max-bytes %d%s", e, e.Need, smaller)
}

// openShape adds how to settle a shape that the model leaves open.
func openShape(e *convert.OpenShapeError) string {
	switch {
	case e.Input == "":
		return e.Error() + "; fix the input's shape with --input-shape"
	case e.Axis < 0:
		return fmt.Sprintf("%v; give it with --input-shape %s=DIMS", e, e.Input)
	case e.Batch >= 0:
		return fmt.Sprintf("%v; if the batch is another axis, say so with --batch-axis %s=%d, "+
			"or fix the dimension with --input-shape %s=DIMS", e, e.Input, e.Axis, e.Input)
	default:
		return fmt.Sprintf("%v; fix it with --input-shape %s=DIMS", e, e.Input)
	}
}

// when makes a row of advice of a function on one type of error.
func when[E error](text func(E) string) func(error) (string, bool) {
	return func(err error) (string, bool) {
		e, ok := any(err).(E)
		if !ok {
			return "", false
		}
		return text(e), true
	}
}

// advised returns the message of err in which every error that there is advice
// about, however it is wrapped or joined, has its advice.
func advised(err error) string {
	text, done := err.Error(), 0 // what is before done is advised already
	walk(err, func(e error) {
		for _, row := range advice {
			better, ok := row(e)
			if !ok {
				continue
			}
			if at := strings.Index(text[done:], e.Error()); at >= 0 {
				at += done
				text = text[:at] + better + text[at+len(e.Error()):]
				done = at + len(better)
			}
		}
	})
	return text
}

// walk visits err and the errors that it wraps, in the order of their messages.
func walk(err error, visit func(error)) {
	visit(err)
	switch e := any(err).(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			walk(inner, visit)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}
