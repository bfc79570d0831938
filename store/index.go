package store

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	// keepUpEvery is how often the index of a Store that is asked for lists reads what is new, so that it has little to read when it is asked.
	keepUpEvery = 2 * time.Second
	// keepUpFor is how long it does so after it was asked last.
	keepUpFor = 5 * time.Minute
)

// index knows, of every record in the bucket, what lists are made by. It is read from the bucket, headers only, by whoever asks: first all,
// then what is new. So it needs no one to tell it of writes, and knows those of other processes.
//
// What leaves the bucket at the end of its retention leaves no mark there; the index goes by the record's TTL.
type index struct {
	reader reader

	// turn is held by the one who reads. Rounds of reading are numbered; ended is the last one that came to its end, and outcome its own.
	turn    chan struct{}
	begun   atomic.Uint64
	ended   uint64
	outcome error
	// created is when the stream was made that was read.
	created time.Time
	// used is told of every question.
	used chan struct{}

	mu     sync.RWMutex
	owners map[string]*timeline // by the token of the owner in the record's key
	apps   appTable
	resume place
	// taken is the sequence of the last message that was taken. It is written under the lock, and read by everybody who reads a record.
	taken atomic.Uint64
}

// place is one in the order of all records, by owner and id.
type place struct {
	owner string
	id    ulid.ULID
}

func newIndex(s *Store) *index {
	x := &index{
		reader: reader{store: s, stream: s.buckets.executions},
		turn:   make(chan struct{}, 1),
		used:   make(chan struct{}, 1),
	}
	x.forget()
	return x
}

// keepUp reads what is new while the index is in use, until life ends. Whoever asks hears of what goes wrong.
func (x *index) keepUp(life context.Context) {
	ticker := time.NewTicker(keepUpEvery)
	defer ticker.Stop()
	for {
		select {
		case <-x.used:
		case <-life.Done():
			return
		}
		for idle := time.Duration(0); idle < keepUpFor; idle += keepUpEvery {
			select {
			case <-x.used:
				idle = 0
			case <-ticker.C:
				_ = x.readNew(life)
				x.expire(time.Now())
			case <-life.Done():
				return
			}
		}
	}
}

// catchUp returns once the index knows every write that was acknowledged before the call.
func (x *index) catchUp(ctx context.Context) error {
	select {
	case x.used <- struct{}{}:
	default:
	}
	return x.readNew(ctx)
}

// readNew reads what is new, or shares what comes of it for another who began after the call.
func (x *index) readNew(ctx context.Context) error {
	enough := x.begun.Load() + 1
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return translate(ctx.Err())
	}
	if x.ended >= enough {
		return x.outcome
	}
	round := x.begun.Add(1)
	err := x.readRound(ctx)
	if err != nil {
		err = fmt.Errorf("catch up with records: %w", err)
	}
	if err == nil || ctx.Err() == nil { // That a caller's time was over says nothing to others.
		x.ended, x.outcome = round, err
	}
	return err
}

func (x *index) readRound(ctx context.Context) error {
	asking, cancel := bounded(ctx)
	defer cancel()
	info, err := x.reader.stream.Info(asking)
	if err != nil {
		return translate(err)
	}
	// The bucket was made anew, or lost its end with a machine's power: what it says now may be another thing under the same number.
	if info.State.LastSeq < x.reader.upTo || !info.Created.Equal(x.created) {
		x.forget()
		x.reader = reader{store: x.reader.store, stream: x.reader.stream}
		x.created = info.Created
	}
	return x.reader.readTo(ctx, info.State.LastSeq, x.take)
}

func (x *index) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.owners = map[string]*timeline{}
	x.apps = appTable{slots: map[string]uint32{}}
}

func (x *index) take(came []seen) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, message := range came {
		x.takeOne(message)
		x.taken.Store(message.sequence)
	}
}

// takenUpTo is for missed.
func (x *index) takenUpTo() uint64 { return x.taken.Load() }

// missed takes away a record that was looked for in vain. Its end may never have been heard of: it can come and leave between two looks, if they
// are further apart than the retention. takenUpTo was asked before the look: what was taken since may be the record, made anew.
func (x *index) missed(org, id string, takenUpTo uint64) {
	known, ok := parseExecutionID(id)
	if !ok {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.taken.Load() == takenUpTo {
		x.remove(toToken.Replace(org), known)
	}
}

// takeOne leaves out what is no record.
func (x *index) takeOne(message seen) {
	owner, id, app, ok := cutExecutionSubject(message.subject)
	if !ok {
		return
	}
	if message.header.Get("KV-Operation") != "" {
		x.remove(owner, id)
		return
	}
	f := fact{expires: expiry(message), status: setOf(Status(message.header.Get(statusHeader)))}
	if f.status != 0 {
		x.put(owner, id, app, f)
	}
}

func (x *index) put(owner string, id ulid.ULID, app string, f fact) {
	records, ok := x.owners[owner]
	if !ok {
		records = &timeline{}
		x.owners[strings.Clone(owner)] = records
	}
	f.app = x.apps.use(app)
	if before, replaced := records.put(id, f); replaced {
		x.apps.drop(before.app)
	}
}

func (x *index) remove(owner string, id ulid.ULID) {
	records, ok := x.owners[owner]
	if !ok {
		return
	}
	if removed, ok := records.remove(id); ok {
		x.apps.drop(removed.app)
	}
	if len(records.leaves) == 0 {
		delete(x.owners, owner)
	}
}

func (x *index) expire(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for owner, records := range x.owners {
		records.expire(uint32(now.Unix()), func(f fact) { x.apps.drop(f.app) })
		if len(records.leaves) == 0 {
			delete(x.owners, owner)
		}
	}
}

// expiry is when a message leaves by itself, in whole seconds, or 0 if it stays.
func expiry(message seen) uint32 {
	life, err := time.ParseDuration(message.header.Get("Nats-TTL"))
	if err != nil || life <= 0 {
		return 0
	}
	leaves := message.stored.Add(life + time.Second - 1).Unix()
	return uint32(min(max(leaves, 1), math.MaxUint32))
}

// appTable gives the apps of records numbers, which are short. A number whose app has no records is given again.
type appTable struct {
	slots map[string]uint32 // by the token of the app in the record's key
	apps  []appUse
	free  []uint32
}

type appUse struct {
	token   string
	records int
}

func (t *appTable) use(token string) uint32 {
	slot, ok := t.slots[token]
	if !ok {
		slot = t.add(strings.Clone(token))
	}
	t.apps[slot].records++
	return slot
}

func (t *appTable) add(token string) uint32 {
	slot := uint32(len(t.apps))
	if last := len(t.free) - 1; last >= 0 {
		slot, t.free = t.free[last], t.free[:last]
		t.apps[slot].token = token
	} else {
		t.apps = append(t.apps, appUse{token: token})
	}
	t.slots[token] = slot
	return slot
}

func (t *appTable) drop(slot uint32) {
	app := &t.apps[slot]
	if app.records--; app.records > 0 {
		return
	}
	delete(t.slots, app.token)
	app.token = ""
	t.free = append(t.free, slot)
}
