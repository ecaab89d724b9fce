package relax

import (
	"slices"
	"time"

	"efcn/finetune"
)

// Progress is where a study is after a step of a run.
type Progress struct {
	Run Run
	// Number is that of the run, from 1, among the Runs that this process does.
	Number, Runs int
	// Samples were taken of the Of that the run takes, over all its epochs.
	Samples, Of int
	// Loss is the mean over the samples of the epoch so far.
	Loss float64
	// Left is the time that the rest takes, as far as it is known: Open reports that
	// there are runs to come of a kind of which none has begun, whose time is not in it.
	Left time.Duration
	Open bool
}

// pace knows how long the runs of a study take.
type pace struct {
	runs   []Run
	epochs map[Kind]int           // of a run
	epoch  map[Kind]time.Duration // an epoch with its measurements, by kinds that have begun
	done   map[Run]bool

	run   Run // that is going on
	began time.Time
	first int // samples that it had been given when it was first seen here; -1 before that
	now   func() time.Time
}

func (s *Study) newPace(runs []Run) *pace {
	p := &pace{
		runs: runs, epochs: map[Kind]int{}, epoch: map[Kind]time.Duration{}, done: map[Run]bool{}, now: time.Now,
	}
	for _, r := range runs {
		p.epochs[r.Kind] = s.options("", r).Epochs
	}
	return p
}

// begin notes that a run is at its first step here.
func (p *pace) begin(r Run) { p.run, p.began, p.first = r, p.now(), -1 }

// ended takes a run from those that are left.
func (p *pace) ended(r *Result) {
	i := slices.IndexFunc(p.runs, func(run Run) bool { return run.Path() == r.Run })
	if i < 0 {
		return
	}
	kind := p.runs[i].Kind
	p.done[p.runs[i]] = true
	if _, known := p.epoch[kind]; !known && r.Epochs > 0 {
		p.epoch[kind] = time.Duration(r.Seconds / float64(r.Epochs) * float64(time.Second))
	}
}

// at is the progress after a step of the run that is going on, which takes that many
// epochs of n samples.
func (p *pace) at(step finetune.Step, n, epochs int) Progress {
	samples := (step.Epoch-1)*n + step.Samples
	if p.first < 0 {
		p.first, p.began = samples, p.now()
	}
	if taken := samples - p.first; taken > 0 {
		p.epoch[p.run.Kind] = time.Duration(float64(p.now().Sub(p.began)) * float64(n) / float64(taken))
	}
	at := Progress{
		Run: p.run, Runs: len(p.runs), Number: slices.Index(p.runs, p.run) + 1, Samples: samples, Of: epochs * n,
		Loss: step.Loss,
	}
	epoch, known := p.epoch[p.run.Kind]
	at.Left, at.Open = time.Duration(float64(epoch)*float64(at.Of-samples)/float64(n)), !known
	for _, r := range p.runs {
		if r == p.run || p.done[r] {
			continue
		}
		epoch, known := p.epoch[r.Kind]
		at.Left += epoch * time.Duration(p.epochs[r.Kind])
		at.Open = at.Open || !known
	}
	return at
}
