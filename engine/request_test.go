package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"dodil.io/ignite/store"
)

// act is what an app does with a call.
type act string

const (
	answers          act = "answers"
	answersMuch      act = "answers much"
	streams          act = "streams"
	holds            act = "holds" // until it is released
	fails            act = "fails"
	refuses          act = "refuses"
	postpones        act = "postpones"
	breaks           act = "breaks"
	streamsAndBreaks act = "streams and breaks"
)

// acts are in the order of how often they are wanted.
var acts = []act{answers, answers, answers, streams, streams, holds, holds, fails, fails, breaks, streamsAndBreaks, postpones, answersMuch, refuses}

// request is one submission.
type request struct {
	id   string
	body []byte
	// plan is what the app does with its calls, one after the other, and with the last all that follow.
	plan      []act
	retry     store.RetryPolicy
	notBefore time.Time

	accepted, cancelled bool
}

func (w *world) newRequest() *request {
	r := &request{id: store.NewExecutionID()}
	r.body = fmt.Appendf(nil, "the request of %s", r.id)
	if w.chance(10) {
		r.body = append(r.body, large(store.MaxInline+1024)...)
	}
	for range 1 + w.random.IntN(4) {
		r.plan = append(r.plan, acts[w.random.IntN(len(acts))])
	}
	if r.plan[len(r.plan)-1] == postpones {
		r.plan = append(r.plan, answers) // or it would never end
	}
	if w.chance(70) {
		r.retry = store.RetryPolicy{
			MaxAttempts:    uint32(1 + w.random.IntN(4)),
			InitialBackoff: 10*time.Millisecond + w.upTo(1200*time.Millisecond),
			MaxBackoff:     1500 * time.Millisecond,
		}
	}
	if w.chance(15) {
		r.notBefore = time.Now().Add(w.upTo(2 * time.Second))
	}
	return r
}

func (r *request) String() string {
	text := fmt.Sprintf("%s %q", r.id, r.plan)
	if !r.accepted {
		text += " not accepted"
	}
	return text
}

func (r *request) object() string { return objectOf(r.id, r.body) }

func (r *request) record() store.Execution {
	return store.Execution{
		ID: r.id, Org: caller, App: testApp, Version: 1, CreatedAt: time.Now(), RequestObject: r.object(),
		Retry: r.retry, NotBefore: r.notBefore, DueAt: r.notBefore,
	}
}

// may reports whether the app does any of these.
func (r *request) may(any ...act) bool {
	return slices.ContainsFunc(r.plan, func(a act) bool { return slices.Contains(any, a) })
}

// answer is what the app says to the request, whether it is content with it or not.
func (r *request) answer() string {
	answer := answerTo(r.body)
	if r.may(answersMuch) {
		return strings.Repeat(answer, store.MaxInline/len(answer)+2)
	}
	return answer
}

func answerTo(body []byte) string {
	sum := sha256.Sum256(body)
	return "did " + hex.EncodeToString(sum[:])
}
