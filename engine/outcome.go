package engine

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
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
	codeBroken         = "POD_BROKEN"
	codeResultTooLarge = "RESULT_TOO_LARGE"
	codeInternal       = "INTERNAL"
)

// timeoutCodes name the clock that ran out.
var timeoutCodes = map[string]string{
	pod.ClockColdStart: "TIMEOUT_COLD_START",
	pod.ClockFirstByte: "TIMEOUT_FIRST_BYTE",
	pod.ClockIdle:      "TIMEOUT_IDLE",
	pod.ClockTotal:     "TIMEOUT_TOTAL",
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

	version uint32
	// waited is the time until a pod had the call, ran the time from then on; cold says that a pod had to start.
	waited, ran time.Duration
	cold        bool

	response int
	header   http.Header
	trailer  http.Header
	result   []byte
	streamed bool
	chunks   int64
}

func failed(code, message string) outcome {
	return outcome{status: store.Failed, fault: &store.ExecutionError{Code: code, Message: clip(message)}}
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

// faultOf says what kind of end an error is. What no case knows is the platform's fault.
func faultOf(err error) (store.Status, *store.ExecutionError) {
	fault := func(code string) *store.ExecutionError {
		return &store.ExecutionError{Code: code, Message: clip(err.Error())}
	}
	if timeout, ok := errors.AsType[*pod.TimeoutError](err); ok {
		return store.Timeout, fault(cmp.Or(timeoutCodes[timeout.Clock], "TIMEOUT"))
	}
	if _, ok := errors.AsType[*pod.StartError](err); ok {
		return store.Failed, fault(codeStartFailed)
	}
	switch {
	case errors.Is(err, pod.ErrBroken):
		return store.Failed, fault(codeBroken)
	case errors.Is(err, errResultTooLarge):
		return store.Failed, fault(codeResultTooLarge)
	case errors.Is(err, pod.ErrAppGone):
		return store.Failed, fault(codeAppDeleted)
	case errors.Is(err, pod.ErrNotPublished):
		return store.Failed, fault(codeNotPublished)
	}
	return store.Failed, fault(codeInternal)
}

// record is the terminal record that follows the one that was held.
func (o outcome) record(held store.Execution) store.Execution {
	next := held
	next.Status = o.status
	next.Error = o.fault
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
	next.Queued = max(held.StartedAt.Sub(held.CreatedAt), 0)
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
