package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// The codes of the error that a record carries.
const (
	codeAppError       = "APP_ERROR"
	codeAppDeleted     = "APP_DELETED"
	codeNotPublished   = "NOT_PUBLISHED"
	codeStartFailed    = "POD_START_FAILED"
	codeUnreachable    = "POD_UNREACHABLE"
	codeWorkerLost     = "WORKER_LOST"
	codeBroken         = "POD_BROKEN"
	codeOutOfMemory    = "OUT_OF_MEMORY"
	codeResultTooLarge = "RESULT_TOO_LARGE"
	codeMaxAge         = "TIMEOUT_MAX_AGE"
	codeInternal       = "INTERNAL"
)

// timeoutCodes name the clock that ran out. A cold start has taken all the time that there is for the execution; the others are
// the app's, which may be quicker the next time.
var timeoutCodes = map[string]struct {
	code    string
	account account
}{
	pod.ClockColdStart: {"TIMEOUT_COLD_START", nobodys},
	pod.ClockFirstByte: {"TIMEOUT_FIRST_BYTE", ofApp},
	pod.ClockIdle:      {"TIMEOUT_IDLE", ofApp},
	pod.ClockTotal:     {"TIMEOUT_TOTAL", ofApp},
}

const (
	// maxMessage bounds the text of an error in a record, in bytes; a pod's last log lines are most of it.
	maxMessage = 8 << 10
	// maxLines of a pod's log are told.
	maxLines = 20
)

// outcome is how an attempt ended, and what there is of the pod's answer.
type outcome struct {
	status store.Status
	fault  *store.ExecutionError
	// account is whose the fault is.
	account account

	version uint32
	// waited is the time until a pod had the call, ran the time from then on; cold says that a pod had to start.
	waited, ran time.Duration
	cold        bool

	response int
	// retryAfter is the answer's header of that name.
	retryAfter string
	header     http.Header
	trailer    http.Header
	result     []byte
	streamed   bool
	chunks     int64
}

func failed(status store.Status, code, message string) outcome {
	return outcome{status: status, fault: &store.ExecutionError{Code: code, Message: clip(message)}}
}

// answered says whether an app that answered in full did what it was asked.
func (o outcome) answered() outcome {
	if o.response < http.StatusBadRequest {
		o.status = store.Completed
		return o
	}
	o.status = store.Failed
	o.fault = &store.ExecutionError{
		Code:    codeAppError,
		Message: fmt.Sprintf("the app answered %d %s", o.response, http.StatusText(o.response)),
	}
	return o
}

// failure is what the decision about another attempt has to know. An answer counts by its status, and by the policy's.
func (o outcome) failure(policy store.RetryPolicy, now time.Time) failure {
	after, said := retryAfter(o.retryAfter, now)
	switch {
	case o.fault.Code != codeAppError:
		return failure{account: o.account}
	case said && (o.response == http.StatusTooManyRequests || o.response == http.StatusServiceUnavailable):
		return failure{account: notNow, after: after}
	case slices.Contains(policy.Over(store.DefaultRetry()).Statuses, uint32(o.response)):
		return failure{account: ofApp, after: after}
	}
	return failure{account: nobodys}
}

// failedWith is the outcome of an attempt that ended in err. What no case knows is the platform's fault, but as little understood
// it is not repeated.
func (o outcome) failedWith(err error) outcome {
	o.status, o.account = store.Failed, nobodys
	code := codeInternal
	timeout, late := errors.AsType[*pod.TimeoutError](err)
	_, notStarted := errors.AsType[*pod.StartError](err)
	switch {
	case late:
		clock := timeoutCodes[timeout.Clock]
		o.status, o.account, code = store.Timeout, clock.account, cmp.Or(clock.code, "TIMEOUT")
	case notStarted:
		o.account, code = ofPlatform, codeStartFailed
	case errors.Is(err, pod.ErrUnreachable):
		o.account, code = ofPlatform, codeUnreachable
	case errors.Is(err, pod.ErrOutOfMemory):
		o.account, code = ofApp, codeOutOfMemory
		if !strings.Contains(err.Error(), pod.ErrOutOfMemory.Error()) {
			err = fmt.Errorf("%w: %w", pod.ErrOutOfMemory, err)
		}
	case errors.Is(err, pod.ErrBroken):
		o.account, code = ofApp, codeBroken
	case errors.Is(err, errResultTooLarge):
		code = codeResultTooLarge
	case errors.Is(err, pod.ErrAppGone):
		code = codeAppDeleted
	case errors.Is(err, pod.ErrNotPublished):
		code = codeNotPublished
	}
	o.fault = &store.ExecutionError{Code: code, Message: clip(err.Error())}
	return o
}

// givenUp says after how many attempts and why there is not one more, if there is anything to say.
func (o outcome) givenUp(attempts uint32, reason string) outcome {
	if reason == "" {
		return o
	}
	o.fault = &store.ExecutionError{
		Code:    o.fault.Code,
		Message: clip(fmt.Sprintf("given up after %s (%s): %s", count(attempts, "attempt"), reason, o.fault.Message)),
	}
	return o
}

func count(n uint32, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// waiting is the record of an execution that waits until due for its next attempt, with the failure of the one that was held.
func (o outcome) waiting(held store.Execution, due time.Time) store.Execution {
	next := released(held)
	next.Error = o.fault
	next.DueAt = due
	o.account.charge(&next)
	return next
}

// released is the record of an execution that nobody holds any longer.
func released(held store.Execution) store.Execution {
	held.Status = store.Pending
	held.Worker = ""
	held.StartedAt = time.Time{}
	return held
}

// record is the terminal record that follows the one that was held.
func (o outcome) record(held store.Execution) store.Execution {
	next := held
	next.Status = o.status
	next.Error = o.fault
	o.account.charge(&next)
	next.Version = cmp.Or(o.version, held.Version)
	next.FinishedAt = time.Now()
	next.ResponseStatus = o.response
	next.ResponseHeader = o.header
	next.ResponseTrailer = o.trailer
	next.Streamed = o.streamed
	next.Chunks = o.chunks
	next.Result = o.result
	next.ResultSize = int64(len(o.result))
	next.Ran = o.ran
	next.Queued = max(held.StartedAt.Sub(begins(held)), 0)
	if o.cold {
		next.ColdStart = o.waited
	} else {
		next.Queued += o.waited
	}
	return next
}

func tierOf(c store.Config) store.Tier { return cmp.Or(c.Tier, store.TierMedium) }

// lastLines tells the end of a pod's log.
func lastLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; last log lines:\n" + strings.Join(lines[max(len(lines)-maxLines, 0):], "\n")
}

// clip keeps the beginning of a text, which names the cause, and its end, which is the newest of a log.
func clip(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxMessage {
		return text
	}
	const half = maxMessage/2 - len("\n…\n")
	head, rest := text[:half], text[len(text)-half:]
	for !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	for len(rest) > 0 && !utf8.RuneStart(rest[0]) {
		rest = rest[1:]
	}
	return head + "\n…\n" + rest
}
