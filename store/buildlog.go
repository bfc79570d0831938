package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// BuildLogPulse is how long a build that runs leaves its log without a part at most, be it an empty one.
	BuildLogPulse = 10 * time.Second
	// buildLogSilence is after how long without a part nobody writes a log any more.
	buildLogSilence = 45 * time.Second
	// buildLogPoll finds parts whose announcement was lost.
	buildLogPoll = 2 * time.Second
)

// ErrBuildCutOff says that a build's log has no end and nobody writes it any more.
var ErrBuildCutOff = errors.New("the build was cut off")

// BuildLine is a line that a compiler printed.
type BuildLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// BuildEnd is "ok" or "failed", and empty as long as a build runs.
type BuildEnd string

// The ends of a build.
const (
	BuildOK     BuildEnd = "ok"
	BuildFailed BuildEnd = "failed"
)

// BuildPart is what a build printed since the part before. The one with an End is the last.
type BuildPart struct {
	// App is whose build it is, which every part says.
	App   AppRef      `json:"app"`
	Lines []BuildLine `json:"lines,omitempty"`
	End   BuildEnd    `json:"end,omitempty"`
}

// AppendBuildLog adds a part to the log of a build, which need not be there yet. Acknowledged but not synced on return. ErrTooLarge for a part
// that does not fit into a message.
func (s *Store) AppendBuildLog(ctx context.Context, id string, part BuildPart) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if !validBuildID(id) {
		return fmt.Errorf("append to the log of build %q: %w", id, ErrInvalidName)
	}
	value, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("encode a part of the log of build %s: %w", id, err)
	}
	if _, err := s.js.Publish(ctx, buildLogSubject(id), value); err != nil {
		return fmt.Errorf("append to the log of build %s: %w", id, translate(err))
	}
	return nil
}

// BuildLog answers the parts of a build's log: those that are there, then each as it comes, until one has an End. An error ends it:
// ErrNotFound if there is no log under that id, ErrBuildCutOff if it will have no end.
func (s *Store) BuildLog(ctx context.Context, id string) iter.Seq2[BuildPart, error] {
	return s.followBuildLog(ctx, id, buildLogSilence)
}

func (s *Store) followBuildLog(ctx context.Context, id string, silence time.Duration) iter.Seq2[BuildPart, error] {
	return func(yield func(BuildPart, error) bool) {
		f := buildFollower{store: s, id: id, silence: silence, told: make(chan struct{}, 1)}
		if err := f.follow(ctx, yield); err != nil {
			yield(BuildPart{}, fmt.Errorf("log of build %s: %w", id, err))
		}
	}
}

// buildFollower reads the log of a build.
type buildFollower struct {
	store   *Store
	id      string
	silence time.Duration
	// told gets something when a part was stored.
	told chan struct{}
	// upTo is the sequence of the last part that was read.
	upTo uint64
}

// follow answers nil if yield had enough, or the end.
func (f *buildFollower) follow(ctx context.Context, yield func(BuildPart, error) bool) error {
	if !validBuildID(f.id) {
		return ErrNotFound
	}
	// Listen first, then read, then follow: so nothing that is stored in between is missed.
	heard, err := f.store.options.Conn.Subscribe(buildLogTold+f.id, func(*nats.Msg) { f.wake() })
	if err != nil {
		return translate(err)
	}
	defer func() { _ = heard.Unsubscribe() }() // it fails only with its connection
	if _, err := f.store.currentMessage(ctx, f.store.buckets.buildLogs, buildLogSubject(f.id)); err != nil {
		return err
	}
	heardFrom := time.Now()
	for {
		part, err := f.next(ctx)
		switch {
		case err == nil:
			heardFrom = time.Now()
			if !yield(part, nil) || part.End != "" {
				return nil
			}
			continue
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnavailable):
			return err
		case time.Since(heardFrom) > f.silence:
			return ErrBuildCutOff
		}
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
}

func (f *buildFollower) wake() {
	select {
	case f.told <- struct{}{}:
	default:
	}
}

// wait returns when there may be another part, and now and then without that.
func (f *buildFollower) wait(ctx context.Context) error {
	timer := time.NewTimer(min(buildLogPoll, f.silence))
	defer timer.Stop()
	select {
	case <-f.told:
	case <-timer.C:
	case <-ctx.Done():
		return translate(ctx.Err())
	}
	return nil
}

// next reads the part after the last one. ErrNotFound if there is none yet.
func (f *buildFollower) next(ctx context.Context) (BuildPart, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	found, err := f.store.buckets.buildLogs.GetMsg(ctx, f.upTo+1, jetstream.WithGetMsgSubject(buildLogSubject(f.id)))
	if err != nil {
		return BuildPart{}, translate(err)
	}
	var part BuildPart
	if err := json.Unmarshal(found.Data, &part); err != nil {
		return BuildPart{}, fmt.Errorf("decode a part: %w", err)
	}
	f.upTo = found.Sequence
	return part, nil
}
