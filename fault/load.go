package fault

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Load submits calls of all kinds, in turn, until it is told to stop, and notes in the ledger what it was told.
type Load struct {
	Ledger *Ledger
	App    string
	Kinds  []Kind
	// Clients are spoken to in turn.
	Clients []*Client
	// Callers submit side by side; each makes a pause after a call, if one is set.
	Callers int
	Pause   time.Duration
	// Unbroken says that no watcher may be cut off.
	Unbroken bool

	next atomic.Int64

	mu       sync.Mutex
	refusals []Refusal
	followed sync.WaitGroup
}

// Refusal is a submission that was not acknowledged.
type Refusal struct {
	At      time.Time
	Code    codes.Code
	Message string
	Took    time.Duration
	// Hint is when the caller was told to try again.
	Hint time.Duration
}

// Run submits until ctx ends, and returns when every call has an answer. What was acknowledged is followed, where that belongs to its kind, until
// life ends.
func (l *Load) Run(ctx, life context.Context) {
	var callers sync.WaitGroup
	for range l.Callers {
		callers.Go(func() {
			for ctx.Err() == nil {
				n := int(l.next.Add(1) - 1)
				l.one(ctx, life, l.Clients[n%len(l.Clients)], l.Kinds[n%len(l.Kinds)])
				if l.Pause > 0 {
					wait(ctx, l.Pause)
				}
			}
		})
	}
	callers.Wait()
}

// Followed waits for those who follow what was acknowledged.
func (l *Load) Followed() { l.followed.Wait() }

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (l *Load) one(ctx, life context.Context, c *Client, k Kind) {
	tag := l.Ledger.Submit(k)
	id, err := l.submit(life, c, k, tag)
	for err != nil && k.Keyed && ctx.Err() == nil { // the key makes it safe to ask again
		pause(ctx)
		id, err = l.submit(life, c, k, tag)
	}
	if err != nil {
		pause(ctx)
		return
	}
	l.Ledger.Acknowledge(tag, id)
	if k.Then != Nothing {
		l.followed.Go(func() { l.then(life, c, k, id) })
	}
}

func (l *Load) submit(ctx context.Context, c *Client, k Kind, tag string) (id string, err error) {
	began := time.Now()
	id, err = c.Submit(ctx, k.Request(l.App, tag))
	if err != nil && ctx.Err() == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.refusals = append(l.refusals, Refusal{
			At: began, Code: status.Code(err), Message: status.Convert(err).Message(), Took: time.Since(began), Hint: hint(err),
		})
	}
	return id, err
}

// Refusals answers all so far.
func (l *Load) Refusals() []Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Refusal(nil), l.refusals...)
}

func (l *Load) then(ctx context.Context, c *Client, k Kind, id string) {
	switch k.Then {
	case Cancel:
		l.cancel(ctx, c, id)
	case Redrive:
		l.redrive(ctx, c, id)
	case Watch:
		l.watch(ctx, c, id)
	default:
	}
}

// cancel tries until it is told that the execution is cancelled, or has ended otherwise.
func (l *Load) cancel(ctx context.Context, c *Client, id string) {
	for ctx.Err() == nil {
		switch err := c.Cancel(ctx, id); status.Code(err) {
		case codes.OK:
			l.Ledger.Cancel(id)
			return
		case codes.FailedPrecondition:
			return
		case codes.NotFound, codes.Internal, codes.Unknown, codes.Unimplemented:
			l.Ledger.Fault("cancel %s: %v", id, err)
			return
		default:
			pause(ctx)
		}
	}
}

// redrive waits for the end, and then asks twice for a repetition: it must be the same one.
func (l *Load) redrive(ctx context.Context, c *Client, id string) {
	if _, _, err := c.Await(ctx, id); err != nil {
		return // the ledger misses its end
	}
	for told := 0; told < 2 && ctx.Err() == nil; {
		next, err := c.Redrive(ctx, id)
		switch status.Code(err) {
		case codes.OK:
			l.Ledger.Redrive(id, next)
			told++
		case codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists, codes.Internal, codes.Unknown, codes.Unimplemented:
			l.Ledger.Fault("redrive %s: %v", id, err)
			return
		default:
			pause(ctx)
		}
	}
}

func (l *Load) watch(ctx context.Context, c *Client, id string) {
	w, err := c.Watch(ctx, id)
	if err == nil {
		err = w.complete()
	}
	if err == nil && l.Unbroken && w.Connections != 1 {
		err = fmt.Errorf("the watcher was cut off %d times", w.Connections-1)
	}
	if err != nil && ctx.Err() == nil {
		l.Ledger.Fault("watch %s: %v", id, err)
	}
}

// Settle reads every acknowledged execution to its end and holds it against its request.
func Settle(ctx context.Context, l *Ledger, clients ...*Client) {
	ids := make(chan string)
	var readers sync.WaitGroup
	for i := range 32 {
		readers.Go(func() {
			for id := range ids {
				e, _, err := clients[i%len(clients)].Await(ctx, id)
				if err == nil {
					l.Check(e)
				} else if ctx.Err() == nil {
					l.Fault("read %s: %v", id, err)
				}
			}
		})
	}
	for _, id := range l.Unchecked() {
		select {
		case ids <- id:
		case <-ctx.Done():
		}
	}
	close(ids)
	readers.Wait()
}
