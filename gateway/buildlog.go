package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// maxLogLines and maxLogBytes bound what is kept of a build's output from its beginning, and maxLogTail the lines of its end.
	maxLogLines = 10_000
	maxLogBytes = 1 << 20
	maxLogTail  = 50
	// partBytes is what goes into a message of the log, with lineBytes around each line; as JSON it may be six times as much.
	partBytes = 128 << 10
	lineBytes = 64
	// logPause is how long there is none after one, however much the compiler prints.
	logPause = 100 * time.Millisecond
)

func (s *service) StreamCompileLogs(r *ignitev1.StreamCompileLogsRequest, stream grpc.ServerStreamingServer[ignitev1.StreamCompileLogsResponse]) error {
	return s.compileLogs(stream.Context(), r, func() {}, stream.Send)
}

// compileLogs sends what a compiler printed and prints, to members of the app's organization; found is called before. To others there is no
// such log.
func (s *service) compileLogs(
	ctx context.Context, r *ignitev1.StreamCompileLogsRequest, found func(), send func(*ignitev1.StreamCompileLogsResponse) error,
) error {
	ctx, done := s.halt.follow(ctx)
	defer done()
	for part, err := range s.cfg.Store.BuildLog(ctx, r.GetDeployId()) {
		switch {
		case errors.Is(err, context.Canceled):
			return cmp.Or(context.Cause(ctx), err)
		case errors.Is(err, store.ErrBuildCutOff):
			return newFault(codes.Aborted, "the server that compiled this stopped before the end: compile the draft again")
		case errors.Is(err, store.ErrNotFound), err == nil && callerOf(ctx).In(part.App.Org) != nil:
			return newFault(codes.NotFound, "there is no log of a compilation %q; GetDraftInfo tells the deploy_id of the newest, and logs are kept for a week", r.GetDeployId())
		case err != nil:
			return err
		}
		found()
		for _, line := range part.Lines {
			if err := send(&ignitev1.StreamCompileLogsResponse{TimestampMs: line.At.UnixMilli(), Line: line.Text}); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildLog takes the lines of a build, one with each Write, and stores them some at a time, so that a chatty compiler costs little. A log that
// cannot be stored is no reason for a build to fail.
type buildLog struct {
	service *service
	id      string
	app     store.AppRef

	mu sync.Mutex
	// pending are the lines that are not stored yet; with what was stored they are lines and bytes in all.
	pending      []store.BuildLine
	lines, bytes int
	// tail are the newest of those lines that came when the log was full already, left how many of them there were.
	tail []store.BuildLine
	left int

	// wake gets something when there is a line, ended is closed when there will be no more.
	wake    chan struct{}
	ended   chan struct{}
	outcome store.BuildEnd
	writing sync.WaitGroup
}

// beginBuildLog begins a log under a new id. Its end must be called.
func (s *service) beginBuildLog(ctx context.Context, app store.AppRef) (*buildLog, error) {
	l := &buildLog{service: s, id: rand.Text(), app: app, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	// It is there before anybody can know its id.
	if err := s.cfg.Store.AppendBuildLog(ctx, l.id, store.BuildPart{App: app}); err != nil {
		return nil, fmt.Errorf("begin a build: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	l.writing.Go(func() { l.write(ctx) })
	return l, nil
}

// Write takes a line. It waits for nobody.
func (l *buildLog) Write(line []byte) (int, error) {
	text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD")
	l.add(store.BuildLine{At: time.Now().UTC(), Text: text})
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (l *buildLog) add(line store.BuildLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines < maxLogLines && l.bytes+len(line.Text) <= maxLogBytes {
		l.pending = append(l.pending, line)
		l.lines++
		l.bytes += len(line.Text)
		return
	}
	l.lines = maxLogLines // so that no short line comes after a gap
	l.left++
	l.tail = append(l.tail, line)
	if len(l.tail) > maxLogTail {
		l.tail = append(l.tail[:0], l.tail[1:]...)
	}
}

// end stores how the build of app's draft ended, and returns when everything is stored that can be.
func (l *buildLog) end(app store.App, err error) {
	l.outcome = store.BuildOK
	if err != nil || app.Draft == nil || app.Draft.Status != store.DraftCompiled {
		l.outcome = store.BuildFailed
	}
	close(l.ended)
	l.writing.Wait()
}

// write stores lines until the end.
func (l *buildLog) write(ctx context.Context) {
	pulse := time.NewTicker(store.BuildLogPulse)
	defer pulse.Stop()
	pause := time.NewTicker(logPause)
	defer pause.Stop()
	for {
		select {
		case <-l.wake:
			l.flush(ctx, "")
		case <-pulse.C:
			l.append(ctx, store.BuildPart{App: l.app})
		case <-l.ended:
			l.close(ctx)
			return
		}
		select {
		case <-pause.C:
		case <-l.ended:
		}
	}
}

// close stores what is left, and the end.
func (l *buildLog) close(ctx context.Context) {
	l.mu.Lock()
	if gap := l.left - len(l.tail); gap > 0 {
		l.pending = append(l.pending, store.BuildLine{At: l.tail[0].At, Text: fmt.Sprintf("… (%d lines were left out)", gap)})
	}
	l.pending = append(l.pending, l.tail...)
	l.mu.Unlock()
	l.flush(ctx, l.outcome)
}

// flush stores all pending lines, and end with the last of them.
func (l *buildLog) flush(ctx context.Context, end store.BuildEnd) {
	l.mu.Lock()
	lines := l.pending
	l.pending = nil
	l.mu.Unlock()
	for {
		count := fitIntoPart(lines)
		part := store.BuildPart{App: l.app, Lines: lines[:count]}
		if lines = lines[count:]; len(lines) == 0 {
			part.End = end
			l.append(ctx, part)
			return
		}
		l.append(ctx, part)
	}
}

// fitIntoPart is how many of lines fit into a part: at least one, if there is one.
func fitIntoPart(lines []store.BuildLine) int {
	bytes := 0
	for i, line := range lines {
		if bytes += lineBytes + len(line.Text); bytes > partBytes && i > 0 {
			return i
		}
	}
	return len(lines)
}

func (l *buildLog) append(ctx context.Context, part store.BuildPart) {
	if err := l.service.cfg.Store.AppendBuildLog(ctx, l.id, part); err != nil {
		l.service.log.WarnContext(ctx, "lines of a build's log are lost", slog.String("app", l.app.String()), slog.Any("error", err))
	}
}
