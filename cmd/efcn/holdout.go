package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"efcn/finetune"
)

// holdoutFlags choose among the models of the epochs by samples that are not trained on.
type holdoutFlags struct {
	saveBest  bool    // Default false.
	earlyStop int     // Default 0: never.
	share     float64 // Default 0.1.
}

func (f *holdoutFlags) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.saveBest, "save-best", false,
		"write the model of the epoch with the least loss on training images that are held out")
	flags.IntVar(&f.earlyStop, "early-stop", 0,
		"stop once so many epochs in a row have brought no smaller loss on images that are held out (0: never)")
	flags.Float64Var(&f.share, "holdout", finetune.DefaultShare,
		"share of the training images that --save-best and --early-stop hold out")
}

func (f *holdoutFlags) validate() error {
	switch {
	case f.earlyStop < 0:
		return usagef("--early-stop %d; want a number of epochs, or 0 for never", f.earlyStop)
	case !(f.share > 0 && f.share < 1):
		return usagef("--holdout %g; want a share between 0 and 1", f.share)
	case f.share != finetune.DefaultShare && !f.chooses():
		return usagef("--holdout is for --save-best and --early-stop")
	}
	return nil
}

func (f *holdoutFlags) chooses() bool { return f.saveBest || f.earlyStop > 0 }

func (f *holdoutFlags) options() finetune.Holdout {
	if !f.chooses() {
		return finetune.Holdout{}
	}
	return finetune.Holdout{Share: f.share, Best: f.saveBest, Patience: f.earlyStop}
}

// print prints which epoch was best, and which one's model is written.
func (f *holdoutFlags) print(w io.Writer, result *tuned) {
	if result.BestEpoch == 0 {
		return
	}
	what := "the model of that epoch"
	if !f.saveBest {
		what = fmt.Sprintf("that of epoch %d, the last (--save-best writes the best)",
			result.Epochs[len(result.Epochs)-1].Epoch)
	}
	fmt.Fprintf(w, "the loss on the images held out was least after epoch %d; written is %s\n", result.BestEpoch, what)
}
