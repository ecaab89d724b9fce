package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows on a terminal how far a command is; elsewhere it does nothing.
type progress struct {
	w     io.Writer // nil where nothing is shown
	bar   *progressbar.ProgressBar
	title string
}

func (e *env) progress() *progress {
	if !e.interactive() {
		return &progress{}
	}
	return &progress{w: e.err}
}

// at shows that done of total things called title are done. Another title
// starts another bar.
func (p *progress) at(title string, done, total int) {
	if p.w == nil {
		return
	}
	if p.bar == nil || p.title != title {
		p.clear()
		p.title = title
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(title),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	// A terminal that does not take the bar is no reason to stop the work.
	_ = p.bar.Set(done)
}

// clear takes the bar away, so that the next line of results has the terminal
// to itself.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
