package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// The tests of this file are the invariants of the package comment, by their names. TestInvariantsHoldWhateverHappens holds all of them
// against what nobody thought of.

func TestNoFakeAccept(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*testing.T){
		"work stays until its outcome is on disk":            workStaysUntilItsOutcomeIsOnDisk,
		"work stays until its dead letter is kept":           workStaysUntilItsDeadLetterIsKept,
		"work stays until what follows it later is on disk":  workStaysUntilLaterWorkIsOnDisk,
		"work stays if it cannot be stored for its next try": workStaysIfItCannotBeStoredForLater,
	})
}

func TestSettledOnce(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*testing.T){
		"delivered again after its end":  deliveredAgainAfterItsEnd,
		"due after its end":              dueAfterItsEnd,
		"cancelled while its call ended": cancelledWhileItsCallEnded,
		"dead letter kept a second time": deadLetterKeptASecondTime,
	})
}

func TestOnlyTheHolderDecides(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*testing.T){
		"taken over while it ran":                 takenOverWhileItRan,
		"own write whose answer was lost":         ownWriteWhoseAnswerWasLost,
		"dead worker is replaced":                 deadWorkerIsReplaced,
		"living worker is left alone":             livingWorkerIsLeftAlone,
		"long call is renewed":                    longCallIsRenewed,
		"cancelled while it waits for a next try": cancelledWhileItWaits,
	})
}

func TestNothingWithoutAnEnd(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*testing.T){
		"workers that die":               workersThatDie,
		"worker cut off during the call": workerCutOffDuringTheCall,
		"answer that cannot be kept":     answerThatCannotBeKept,
		"unreadable work":                unreadableWork,
		"work that is nowhere":           workThatIsNowhere,
	})
}

func TestHonestCause(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(*testing.T){
		"stop is no failure":                  stopIsNoFailure,
		"calls end within the drain time":     callsEndWithinTheDrainTime,
		"clock that ran out":                  clockThatRanOut,
		"pod that broke":                      podThatBroke,
		"app deleted during the call":         appDeletedDuringTheCall,
		"pod that does not start":             podThatDoesNotStart,
		"last failure is told while it waits": lastFailureIsToldWhileItWaits,
	})
}

// each runs tests side by side.
func each(t *testing.T, tests map[string]func(*testing.T)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// update changes a record as another writer would.
func (p *process) update(t testing.TB, e store.Execution, change func(*store.Execution)) store.Execution {
	t.Helper()
	change(&e)
	updated, err := p.store.UpdateExecution(t.Context(), e)
	if err != nil {
		t.Fatalf("update record: %v", err)
	}
	return updated
}

// placesOf reports whether an execution's work is in the queue, and whether it is stored for later.
func (p *process) placesOf(t testing.TB, id string) (inQueue, later bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inQueue, err := p.stream.Waits(ctx, appOf(testApp), id)
	if err != nil {
		t.Fatal(err)
	}
	if later, err = p.stream.IsLater(ctx, id); err != nil {
		t.Fatal(err)
	}
	return inQueue, later
}

func appOf(ref store.AppRef) stream.App { return stream.App{Org: ref.Org, Name: ref.Name} }

// untilConnected waits until a connection that was lost is back.
func (p *process) untilConnected(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := p.conn.FlushWithContext(ctx)
	for errors.Is(err, nats.ErrConnectionClosed) && !p.conn.IsClosed() {
		err = p.conn.FlushWithContext(ctx) // the one before was under way when the connection was lost
	}
	if err != nil {
		t.Fatalf("connection is not back: %v", err)
	}
}
