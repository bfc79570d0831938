package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/counters"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/sync/errgroup"
)

// Usage counts the direct calls of an app that a pod was asked to answer.
type Usage struct {
	// Answered were answered in full, whatever the status.
	Answered uint64
	// Left were given up by their callers.
	Left uint64
	// Failed were not answered: no pod came up, it broke off, or its time was over.
	Failed uint64
}

// Add is the sum of both.
func (u Usage) Add(other Usage) Usage {
	return Usage{Answered: u.Answered + other.Answered, Left: u.Left + other.Left, Failed: u.Failed + other.Failed}
}

// kinds are the counters of an app, by the last token of their subjects.
func (u *Usage) kinds() map[string]*uint64 {
	return map[string]*uint64{"answered": &u.Answered, "left": &u.Left, "failed": &u.Failed}
}

const (
	// addedAtOnce bounds how many counters are written at a time.
	addedAtOnce = 64
	// readAtOnce is how many counters one request reads; JetStream answers at most 1,024 subjects.
	readAtOnce = 512
)

// makeUsage makes a stream of counters. They outlive their apps, because bills are written later. A stream of counters cannot refuse what is
// beyond its cap: at some hundred thousand apps the counters that were not added to for the longest time leave.
func makeUsage(ctx context.Context, js jetstream.JetStream, o Options) (jetstream.Stream, error) {
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              usageStream,
		Subjects:          []string{usageSubjects + "*.*.*"},
		MaxBytes:          min(usageCap, o.MaxBytes/usagePart),
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		Storage:           jetstream.FileStorage,
		Replicas:          o.Replicas,
		AllowDirect:       true,
		AllowMsgCounter:   true,
	})
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", usageStream, translate(err))
	}
	return stream, nil
}

// AddUsage adds to the counters of apps. They are on disk on return. What was added under an id is not added again within two minutes, so a batch that
// failed may be repeated under its id.
func (s *Store) AddUsage(ctx context.Context, id string, batch map[AppRef]Usage) error {
	adding, adds := errgroup.WithContext(ctx)
	adding.SetLimit(addedAtOnce)
	for ref, usage := range batch {
		for kind, n := range usage.kinds() {
			if *n > 0 {
				adding.Go(func() error { return s.count(adds, id, usageSubject(ref, kind), *n) })
			}
		}
	}
	if err := adding.Wait(); err != nil {
		return fmt.Errorf("add usage: %w", err)
	}
	return s.Sync(ctx)
}

// count is one publication. JetStream adds it to the counter before it acknowledges.
func (s *Store) count(ctx context.Context, id, subject string, n uint64) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	message := nats.NewMsg(subject)
	message.Header.Set(counters.CounterIncrementHeader, strconv.FormatUint(n, 10))
	_, err := s.js.PublishMsg(ctx, message, jetstream.WithMsgID(id+"."+subject))
	return translate(err)
}

// Usage answers the counters of an app; an app that was never called, or never was, has none.
func (s *Store) Usage(ctx context.Context, ref AppRef) (Usage, error) {
	if !ref.valid() {
		return Usage{}, fmt.Errorf("usage of app %q: %w", ref, ErrInvalidName)
	}
	var usage Usage
	var subjects []string
	for kind := range usage.kinds() {
		subjects = append(subjects, usageSubject(ref, kind))
	}
	found := map[AppRef]Usage{}
	if err := s.readUsage(ctx, subjects, found); err != nil {
		return Usage{}, fmt.Errorf("usage of app %s: %w", ref, err)
	}
	return found[ref], nil
}

// UsageOf answers the counters of all apps of org that were ever called, deleted ones too.
func (s *Store) UsageOf(ctx context.Context, org string) (map[AppRef]Usage, error) {
	if !ValidName(org) {
		return nil, fmt.Errorf("usage of %q: %w", org, ErrInvalidName)
	}
	info, err := s.buckets.usage.Info(ctx, jetstream.WithSubjectFilter(usageSubjects+toToken.Replace(org)+".*.*"))
	if err != nil {
		return nil, fmt.Errorf("usage of %s: %w", org, translate(err))
	}
	found := map[AppRef]Usage{}
	for subjects := range slices.Chunk(slices.Sorted(maps.Keys(info.State.Subjects)), readAtOnce) {
		if err := s.readUsage(ctx, subjects, found); err != nil {
			return nil, fmt.Errorf("usage of %s: %w", org, err)
		}
	}
	return found, nil
}

// readUsage adds what the counters say to found.
func (s *Store) readUsage(ctx context.Context, subjects []string, found map[AppRef]Usage) error {
	counter, err := counters.NewCounterFromStream(s.js, s.buckets.usage)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	for entry, err := range counter.GetMultiple(ctx, subjects) {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil // none of them was ever added to
		}
		if err != nil {
			return translate(err)
		}
		ref, kind, err := parseUsageSubject(entry.Subject)
		if err != nil {
			return err
		}
		usage := found[ref]
		if n, ok := usage.kinds()[kind]; ok {
			*n = entry.Value.Uint64()
			found[ref] = usage
		}
	}
	return nil
}
