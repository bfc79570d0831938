package fault

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// Ledger is what callers were told, what was done to the servers, and what was seen of every record. Judge holds them against each other.
// All its methods may be called concurrently.
type Ledger struct {
	mu          sync.Mutex
	submitted   int
	kinds       map[string]Kind // by tag
	accounts    map[string]*account
	keyed       map[string]string // tag of a keyed submission to the id that it was given
	redriven    map[string]string // id to the id that it was run again under
	disruptions []Disruption
	kills       int
	faults      []string
}

// account is one execution.
type account struct {
	tag  string
	kind Kind
	// acknowledged: a caller has the id.
	acknowledged bool
	// cancelled: a caller was told that it is.
	cancelled bool
	// checked: the record was read through the API after its end.
	checked bool
	status  ignitev1.ExecutionStatus
	// firstEnd is the lowest revision at which the record was seen terminal, 0 if never; last the highest seen at all.
	firstEnd, last uint64
}

// Disruption is something done to a server that lets calls happen twice, from one time to another.
type Disruption struct {
	What     string
	From, To time.Time
}

// NewLedger is empty.
func NewLedger() *Ledger {
	return &Ledger{
		kinds: map[string]Kind{}, accounts: map[string]*account{}, keyed: map[string]string{}, redriven: map[string]string{},
	}
}

// Submit makes a tag for a new call.
func (l *Ledger) Submit(k Kind) (tag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.submitted++
	tag = fmt.Sprintf("%s-%d", k.Name, l.submitted)
	l.kinds[tag] = k
	return tag
}

// Acknowledge notes that a caller was given id for tag.
func (l *Ledger) Acknowledge(tag, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[tag]
	if before, ok := l.keyed[tag]; ok && before != id {
		l.fault("the key %s stands for %s and for %s", tag, before, id)
	}
	if k.Keyed {
		l.keyed[tag] = id
	}
	l.acknowledge(tag, id)
}

func (l *Ledger) acknowledge(tag, id string) {
	a := l.account(id)
	if a.acknowledged && a.tag != tag {
		l.fault("%s was given out for %s and for %s", id, a.tag, tag)
	}
	a.tag, a.kind, a.acknowledged = tag, l.kinds[tag], true
}

// Cancel notes that a caller was told that id is cancelled.
func (l *Ledger) Cancel(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(id).cancelled = true
}

// Redrive notes that a caller was given next for a repetition of id.
func (l *Ledger) Redrive(id, next string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.redriven[id]; ok && before != next {
		l.fault("%s was redriven as %s and as %s", id, before, next)
	}
	l.redriven[id] = next
	l.acknowledge(l.account(id).tag, next)
}

// Kill notes that a server was killed between from and now.
func (l *Ledger) Kill(what string, from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kills++
	l.disruptions = append(l.disruptions, Disruption{What: what, From: from, To: time.Now()})
}

// Disrupt notes something that is no kill, and lasted from then until now.
func (l *Ledger) Disrupt(what string, from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disruptions = append(l.disruptions, Disruption{What: what, From: from, To: time.Now()})
}

// Fault notes a broken promise that was found elsewhere.
func (l *Ledger) Fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault(format, args...)
}

func (l *Ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

func (l *Ledger) account(id string) *account {
	a := l.accounts[id]
	if a == nil {
		a = &account{}
		l.accounts[id] = a
	}
	return a
}

// Sight notes that the record of id was seen in a state at a revision. Sightings may come in any order.
func (l *Ledger) Sight(id string, revision uint64, terminal bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(id)
	a.last = max(a.last, revision)
	if terminal && (a.firstEnd == 0 || revision < a.firstEnd) {
		a.firstEnd = revision
	}
}

// Check holds a terminal record, read through the API, against what was asked for.
func (l *Ledger) Check(e *ignitev1.Execution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(e.GetId())
	a.checked, a.status = true, e.GetStatus()
	switch {
	case a.cancelled && e.GetStatus() != cancelled:
		l.fault("%s was cancelled, and is %s", e.GetId(), e.GetStatus())
	case !slices.Contains(a.kind.Ends, e.GetStatus()):
		l.fault("%s of kind %s ended %s, want %s: %s", e.GetId(), a.kind.Name, e.GetStatus(), a.kind.Ends, e.GetError())
	case e.GetStatus() == cancelled: // it has no result
	case !bytes.Equal(e.GetResult(), a.kind.Result(a.tag, e.GetAttempt())):
		l.fault("%s has a result of %d bytes that is not the one of its request, of %d bytes", e.GetId(), len(e.GetResult()), a.kind.Size)
	}
}

// Unchecked answers the acknowledged executions whose end was not checked yet.
func (l *Ledger) Unchecked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id, a := range l.accounts {
		if a.acknowledged && !a.checked {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Judge says what became of everything, given the calls that the pods saw.
func (l *Ledger) Judge(calls []Call) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{Submitted: l.submitted, Kills: l.kills, Ends: map[string]int{}, Faults: slices.Clone(l.faults)}
	for _, id := range slices.Sorted(maps.Keys(l.accounts)) {
		r.count(id, l.accounts[id])
	}
	r.judgeCalls(calls, l.disruptions)
	r.judgeKeys(calls, l.kinds)
	return r
}

// Report is the outcome.
type Report struct {
	Submitted, Acknowledged, Unacknowledged    int
	Calls, Duplicates, Unexplained, KeysBroken int
	Lost, SettledTwice, Kills                  int
	Ends                                       map[string]int // of acknowledged executions, by state
	Faults                                     []string
}

func (r *Report) count(id string, a *account) {
	if a.firstEnd > 0 && a.last > a.firstEnd {
		r.SettledTwice++
		r.Faults = append(r.Faults, fmt.Sprintf("%s was terminal at revision %d and was written again at %d", id, a.firstEnd, a.last))
	}
	if !a.acknowledged {
		r.Unacknowledged++
		return
	}
	r.Acknowledged++
	if !a.checked {
		r.Lost++
		r.Faults = append(r.Faults, fmt.Sprintf("%s (%s) was acknowledged and has no end", id, a.tag))
		return
	}
	r.Ends[strings.TrimPrefix(a.status.String(), "EXECUTION_STATUS_")]++
}

// judgeCalls looks for calls that a pod saw again. Each needs a reason between the two, and a higher attempt.
func (r *Report) judgeCalls(calls []Call, disruptions []Disruption) {
	before := map[string]Call{}
	for _, c := range calls {
		r.Calls++
		earlier, seen := before[c.Execution]
		before[c.Execution] = c
		if !seen {
			continue
		}
		r.Duplicates++
		if c.Attempt <= earlier.Attempt || !explained(earlier, c, disruptions) {
			r.Unexplained++
			r.Faults = append(r.Faults, fmt.Sprintf("%s (%s) came to the pod as attempt %d at %s and as attempt %d at %s, and nothing explains that",
				c.Execution, c.Tag, earlier.Attempt, stamp(earlier.At), c.Attempt, stamp(c.At)))
		}
	}
}

func explained(first, again Call, disruptions []Disruption) bool {
	return first.Answer >= 400 || slices.ContainsFunc(disruptions, func(d Disruption) bool {
		return !d.To.Before(first.At) && !d.From.After(again.At)
	})
}

func stamp(at time.Time) string { return at.UTC().Format("15:04:05.000") }

// judgeKeys looks for keys that more than one execution ran under.
func (r *Report) judgeKeys(calls []Call, kinds map[string]Kind) {
	ran := map[string]string{}
	for _, c := range calls {
		if !kinds[c.Tag].Keyed {
			continue
		}
		if id, ok := ran[c.Tag]; ok && id != c.Execution {
			r.KeysBroken++
			r.Faults = append(r.Faults, fmt.Sprintf("the key %s ran as %s and as %s", c.Tag, id, c.Execution))
		}
		ran[c.Tag] = c.Execution
	}
}

func (r Report) String() string {
	var ends []string
	for _, status := range slices.Sorted(maps.Keys(r.Ends)) {
		ends = append(ends, fmt.Sprintf("%s %d", strings.ToLower(status), r.Ends[status]))
	}
	return fmt.Sprintf("submitted %d, acknowledged %d (%s), records of unacknowledged %d; kills %d; calls seen by pods %d, seen twice %d, of these unexplained %d; "+
		"keys used twice %d, lost %d, settled twice %d", r.Submitted, r.Acknowledged, strings.Join(ends, ", "), r.Unacknowledged, r.Kills, r.Calls, r.Duplicates,
		r.Unexplained, r.KeysBroken, r.Lost, r.SettledTwice)
}
