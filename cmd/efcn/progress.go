package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"efcn/onnxio"
)

// progress shows how far a command is: on a terminal as one line that is written anew,
// elsewhere as a line a minute. With -q it shows nothing.
type progress struct {
	w       io.Writer  // nil where nothing is shown
	width   func() int // columns of the terminal; nil where there is none
	command string     // in front of a line that stays
	now     func() time.Time

	last  stage
	begun time.Time // of the work that last is of
	first float64   // what of it was done then
	shown time.Time // when a line was written last
	line  int       // characters that are on the terminal
}

// stage is where a command is.
type stage struct {
	title  string  // what is being done: "epoch 3 of 10"
	detail string  // what it has come to: "loss 0.5312"
	done   float64 // of all the work there is, as that is counted
	of     float64
	share  float64 // of the title; 0 where it is that of all the work
	left   string  // the time for the rest; "" where that is to follow from done
}

// part is the share that is done of what the title names.
func (s stage) part() float64 {
	if s.share == 0 && s.of > 0 {
		return s.done / s.of
	}
	return s.share
}

// Between lines.
const (
	onTerminal = 100 * time.Millisecond
	elsewhere  = time.Minute
)

func (e *env) progress(command string) *progress {
	p := &progress{command: "efcn " + command, now: time.Now}
	if e.quiet {
		return p
	}
	p.w = e.err
	if f, ok := e.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.width = func() int { return columns(f) }
	}
	p.shown = p.now()
	return p
}

// columns is the width of a terminal, 80 where it does not tell.
func columns(f *os.File) int {
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// at shows that done of total things called title are done.
func (p *progress) at(title string, done, total int) {
	p.show(stage{title: title, done: float64(done), of: float64(total)})
}

// writing shows how much of a file is written.
func (p *progress) writing(path string) func(done, of int64) {
	return func(done, of int64) {
		p.show(stage{title: "writing " + onnxio.Printable(path), done: float64(done), of: float64(of)})
	}
}

// show shows a stage. The time left is counted anew where other work has begun: with
// another total, or less of it done.
func (p *progress) show(s stage) {
	if p.w == nil {
		return
	}
	now := p.now()
	if s.of != p.last.of || s.done < p.last.done || p.begun.IsZero() {
		p.begun, p.first = now, s.done
	}
	fresh := s.title != p.last.title
	p.last = s
	switch {
	case p.width == nil && now.Sub(p.shown) >= elsewhere:
		p.shown = now
		// A line that cannot be written is no reason to stop the work.
		fmt.Fprintf(p.w, "%s: %s\n", p.command, strings.Join(p.parts(now), ", "))
	case p.width != nil && (fresh || now.Sub(p.shown) >= onTerminal):
		p.shown = now
		p.draw(p.onLine(now, p.width()-1)) // a terminal may wrap a line that is full
	}
}

// parts are the title, the share, the detail and the time left.
func (p *progress) parts(now time.Time) []string {
	s := p.last
	parts := []string{s.title, fmt.Sprintf("%.0f %%", math.Floor(100*s.part()))}
	if s.detail != "" {
		parts = append(parts, s.detail)
	}
	if s.left == "" && s.done > p.first && s.done < s.of {
		s.left = formatLeft(now.Sub(p.begun).Seconds() * (s.of - s.done) / (s.done - p.first))
	}
	if s.left != "" {
		parts = append(parts, s.left+" left")
	}
	return parts
}

// formatLeft writes a time that is estimated, to the second.
func formatLeft(seconds float64) string { return formatSeconds(max(1, math.Round(seconds))) }

// onLine is the progress in at most so many characters, with a bar where there is room.
func (p *progress) onLine(now time.Time, width int) string {
	parts := p.parts(now)
	line := strings.Join(parts, "  ")
	if room := min(width-utf8.RuneCountInString(line)-4, 30); room >= 10 {
		full := min(int(p.last.part()*float64(room)), room)
		bar := "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
		line = strings.Join(append([]string{parts[0], bar}, parts[1:]...), "  ")
	}
	if runes := []rune(line); len(runes) > width {
		line = string(runes[:max(0, width)])
	}
	return line
}

// draw puts a line in the place of that which is on the terminal.
func (p *progress) draw(line string) {
	length := utf8.RuneCountInString(line)
	fmt.Fprint(p.w, "\r"+line+strings.Repeat(" ", max(0, p.line-length))+strings.Repeat("\b", max(0, p.line-length)))
	p.line = length
}

// clear takes the line away, so that the next line of results has the terminal to
// itself.
func (p *progress) clear() {
	if p.line > 0 {
		p.draw("")
		fmt.Fprint(p.w, "\r")
	}
}
