package relax

import (
	"slices"
	"strconv"
	"strings"

	"efcn/convert/record"
	"efcn/finetune"
)

// Kind says what a run trains.
type Kind string

// The kinds of runs, and of rows of results.csv.
const (
	CNN  Kind = "cnn"  // the CNN that is embedded
	FCN  Kind = "fcn"  // the eFCN's architecture, newly initialised
	EFCN Kind = "efcn" // all weights of the embedded CNN

	// Runs that Options.With adds, besides those of [Factored].

	ELCN     Kind = "elcn"      // the embedded CNN in local form: its support alone
	Local    Kind = "local"     // the eFCN's support alone, in dense form; what ELCN computes, at the cost of EFCN
	OffLocal Kind = "off-local" // the eFCN's weights outside the support alone
	Tied     Kind = "tied"      // the eFCN along the CNN subspace: what the CNN computes, at the cost of EFCN

	// Snapshot is no run: the CNN at a relax time.
	Snapshot Kind = "snapshot"
)

// Parts of the names of factored kinds.
const (
	factored  = "factored-"
	refreshed = ":refresh-"
)

// Factored is the kind of a run of the embedded CNN with every matrix as its local
// form and a product U·V of that rank beside it: "factored-16". V is that of the
// conversion or, with init, another one, and restarts after every refresh epochs, if that
// is not 0: "factored-16:gradient:refresh-5".
func Factored(rank int, init finetune.Init, refresh int) Kind {
	text := factored + strconv.Itoa(rank)
	if init != "" {
		text += ":" + string(init)
	}
	if refresh > 0 {
		text += refreshed + strconv.Itoa(refresh)
	}
	return Kind(text)
}

// Rank is that of a kind of Factored, 0 of the others.
func (k Kind) Rank() int {
	text, _ := strings.CutPrefix(string(k), factored)
	number, _, _ := strings.Cut(text, ":")
	rank, err := strconv.Atoi(number)
	if init := k.Init(); err != nil || rank < 1 || k != Factored(rank, init, k.Refresh()) ||
		init != "" && !slices.Contains(finetune.Inits(), init) {
		return 0
	}
	return rank
}

// Init says what chooses V of a kind of Factored; "" of the conversion's V, and of the
// other kinds.
func (k Kind) Init() finetune.Init {
	text, _, _ := strings.Cut(string(k), refreshed)
	_, init, _ := strings.Cut(text, ":")
	return finetune.Init(init)
}

// Refresh is after how many epochs V of a kind of Factored restarts, 0 for never.
func (k Kind) Refresh() int {
	_, text, _ := strings.Cut(string(k), refreshed)
	epochs, _ := strconv.Atoi(text) // a kind that is none has no rank either
	return epochs
}

// Extras lists what Options.With may hold, besides the kinds of Factored.
func Extras() []Kind { return []Kind{ELCN, Local, OffLocal, Tied} }

func (k Kind) extra() bool { return slices.Contains(Extras(), k) || k.Rank() > 0 }

// layout is the form that the layers of a run have.
func (k Kind) layout() record.Layout {
	switch {
	case k == ELCN:
		return record.Local
	case k.Rank() > 0:
		return record.Factored
	default:
		return record.Dense
	}
}

// train is what of an embedded CNN the run trains.
func (k Kind) train() string {
	switch k {
	case ELCN, Local:
		return finetune.TrainLocal
	case OffLocal:
		return finetune.TrainOffLocal
	case Tied:
		return finetune.TrainTied
	default:
		return finetune.TrainAll
	}
}
