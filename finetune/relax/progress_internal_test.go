package relax

import (
	"testing"
	"time"

	"efcn/finetune"
)

// TestPace: what is left is known from the runs that were and the one that is going on,
// and a kind that has not begun leaves it open.
func TestPace(t *testing.T) {
	now := time.Unix(0, 0)
	runs := []Run{{CNN, 0, -1}, {EFCN, 0, 0}, {EFCN, 0, 1}, {Tied, 0, 0}}
	p := &pace{
		runs: runs, epochs: map[Kind]int{CNN: 4, EFCN: 2, Tied: 2}, epoch: map[Kind]time.Duration{},
		done: map[Run]bool{}, now: func() time.Time { return now },
	}
	after := func(d time.Duration, epoch, samples int, want Progress) {
		t.Helper()
		now = now.Add(d)
		want.Run, want.Runs, want.Loss = p.run, 4, 0.5
		if got := p.at(finetune.Step{Epoch: epoch, Samples: samples, Loss: 0.5}, 100, p.epochs[p.run.Kind]); got != want {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
	// The CNN was finished before: its time is that of its result.
	p.ended(&Result{Run: runs[0].Path(), Epochs: 4, Seconds: 40})
	p.ended(&Result{Run: "cnn"}) // given, and no run
	p.begin(runs[1])
	after(time.Hour, 1, 50, Progress{Number: 2, Samples: 50, Of: 200, Open: true})
	// 50 samples took 10 s: an epoch 20 s. Half an epoch is left here, two epochs of the next run.
	after(10*time.Second, 1, 100, Progress{Number: 2, Samples: 100, Of: 200, Left: 60 * time.Second, Open: true})
	p.ended(&Result{Run: runs[1].Path(), Epochs: 2, Seconds: 1})
	p.begin(runs[3])
	after(0, 1, 50, Progress{Number: 4, Samples: 50, Of: 200, Left: 40 * time.Second, Open: true})
	after(30*time.Second, 2, 0, Progress{Number: 4, Samples: 100, Of: 200, Left: 100 * time.Second})
}
