package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	redrawEvery  = 100 * time.Millisecond
	spinnerStyle = 14 // braille dots
)

// progress shows on stderr what the user waits for: moving on a terminal, in plain lines elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
}

func newProgress(stderr io.Writer, termType string) *progress {
	return &progress{out: stderr, terminal: isTerminal(stderr) && termType != "dumb"}
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (p *progress) line(text string) {
	_, _ = fmt.Fprintln(p.out, printable(text)) // there is no other place to say that stderr is gone
}

// activity is one thing that takes time. It redraws its line until it is stopped.
type activity struct {
	progress *progress
	began    time.Time
	stopped  chan struct{}
	redrawer sync.WaitGroup
	stopOnce sync.Once

	mu   sync.Mutex
	text string
}

// wait shows a spinner with the time that has passed; off a terminal it shows nothing.
func (p *progress) wait(text string) *activity {
	return p.begin(text, func(a *activity) { a.spin(a.said) })
}

// step is wait for one of several steps: off a terminal it is a line, on one a line stays once it is done.
func (p *progress) step(text string) *activity {
	if !p.terminal {
		p.line(text)
	}
	return p.wait(text)
}

// upload is a step that is known to send total bytes. Once sent has reached total, the server has the rest of the work
// and the bar makes way for a spinner.
func (p *progress) upload(text string, total int64, sent func() int64) *activity {
	if !p.terminal {
		p.line(text)
	}
	return p.begin(text, func(a *activity) {
		a.fill(total, sent)
		a.spin(func() string { return "Waiting for the server to check it" })
	})
}

func (p *progress) begin(text string, draw func(*activity)) *activity {
	a := &activity{progress: p, began: time.Now(), stopped: make(chan struct{}), text: text}
	if p.terminal {
		a.redrawer.Go(func() { draw(a) })
	}
	return a
}

// say changes the text.
func (a *activity) say(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text = text
}

func (a *activity) said() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text
}

// stop clears the line. It may be called more than once; when it returns nothing is drawn any more.
func (a *activity) stop() {
	a.stopOnce.Do(func() { close(a.stopped) })
	a.redrawer.Wait()
}

// done stops and, on a terminal, leaves a line that says how long it took.
func (a *activity) done() {
	a.stop()
	if a.progress.terminal {
		a.progress.line(fmt.Sprintf("%s (%s)", a.said(), time.Since(a.began).Round(redrawEvery)))
	}
}

func (a *activity) spin(text func() string) {
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.progress.out),
		progressbar.OptionSpinnerType(spinnerStyle),
		progressbar.OptionSetSpinnerChangeInterval(0), // else it redraws from a goroutine that nobody waits for
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionUseANSICodes(true),
	)
	a.redraw(bar, func() bool {
		bar.Describe(printable(text()))
		return true
	})
}

func (a *activity) fill(total int64, sent func() int64) {
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(a.progress.out),
		progressbar.OptionSetDescription(printable(a.said())),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(), // without it nothing is drawn below one per cent
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
	)
	bar.StartWithoutRender() // the clock that the rate is measured by
	a.redraw(bar, func() bool {
		// What the protocol adds to the archive is sent too; the bar is about the archive.
		_ = bar.Set64(min(sent(), total)) // drawing is all it can fail at
		return !bar.IsFinished()
	})
}

// redraw calls draw until it returns false or the activity is stopped, and leaves an empty line.
func (a *activity) redraw(bar *progressbar.ProgressBar, draw func() bool) {
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-a.stopped:
			_ = bar.Clear() // drawing is all it can fail at
			return
		case <-ticker.C:
			if !draw() {
				return
			}
		}
	}
}
