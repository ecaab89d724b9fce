package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"efcn/finetune/relax"
)

// clocked is a progress that writes to b, at a time that the test moves.
func clocked(b *bytes.Buffer, width int) (p *progress, wait func(time.Duration)) {
	now := time.Unix(0, 0)
	p = &progress{w: b, command: "efcn finetune", now: func() time.Time { return now }, shown: now}
	if width > 0 {
		p.width = func() int { return width }
	}
	return p, func(d time.Duration) { now = now.Add(d) }
}

func epochs(done float64) stage {
	return stage{title: "epoch 3 of 10", detail: "loss 0.5312", share: 0.25, done: done, of: 1000}
}

// In a pipe there is nothing for a minute, and then a line a minute.
func TestProgressInPipe(t *testing.T) {
	var b bytes.Buffer
	p, wait := clocked(&b, 0)
	p.show(epochs(200))
	wait(59 * time.Second)
	p.show(epochs(210))
	p.clear()
	if b.Len() > 0 {
		t.Errorf("after 59 s: %q", b.String())
	}
	wait(time.Second)
	p.show(epochs(220))
	wait(30 * time.Second)
	p.show(epochs(225))
	// 20 of 800 took 60 s: 780 take 2340.
	if want := "efcn finetune: epoch 3 of 10, 25 %, loss 0.5312, 39m00s left\n"; b.String() != want {
		t.Errorf("%q; want %q", b.String(), want)
	}
}

// On a terminal of any width there is one line, which the next takes the place of.
func TestProgressOnTerminal(t *testing.T) {
	for _, width := range []int{1, 2, 10, 30, 60, 61, 80, 200} {
		var b bytes.Buffer
		p, wait := clocked(&b, width)
		for done := range 5 {
			p.show(epochs(float64(100 * (done + 1))))
			wait(time.Minute)
		}
		p.clear()
		if strings.Contains(b.String(), "\n") {
			t.Errorf("width %d: %q has a line break", width, b.String())
		}
		screen := make([]rune, 0, width)
		at := 0
		for _, r := range b.String() {
			switch r {
			case '\r':
				at = 0
			case '\b':
				at--
			default:
				if screen = append(screen[:max(at, len(screen))], make([]rune, max(0, at+1-len(screen)))...); at < len(screen) {
					screen[at] = r
				}
				at++
			}
			if at >= width {
				t.Fatalf("width %d: column %d is written in %q", width, at, b.String())
			}
		}
		if left := strings.TrimSpace(string(screen)); left != "" || at != 0 {
			t.Errorf("width %d: %q is left behind, at %d", width, left, at)
		}
	}
}

func TestProgressBar(t *testing.T) {
	var b bytes.Buffer
	p, _ := clocked(&b, 80)
	p.show(epochs(100))
	line := strings.TrimLeft(b.String(), "\r")
	if want := "epoch 3 of 10  [=======                       ]  25 %  loss 0.5312"; line != want {
		t.Errorf("%q; want %q", line, want)
	}
	if n := utf8.RuneCountInString(line); n > 79 {
		t.Errorf("%d characters", n)
	}
}

func TestStageOfStudy(t *testing.T) {
	p := relax.Progress{
		Run: relax.Run{Kind: relax.EFCN, Seed: 1, Relax: 5}, Number: 3, Runs: 17, Samples: 30, Of: 120, Loss: 0.25,
		Left: 27 * 24 * time.Hour, Open: true,
	}
	want := stage{
		title: "run 3 of 17, seed-1/efcn-5", detail: "loss 0.2500", done: 30, of: 120, left: "more than 27 days",
	}
	if got := stageOf(p); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
}
