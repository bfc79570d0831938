package store

import (
	"net/http"
	"time"
)

// Status is an execution's state: "pending", "running", "completed", "failed", "timeout" or "cancelled"; the last four are terminal.
type Status string

// The states of an execution.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
	Timeout   Status = "timeout"
	Cancelled Status = "cancelled"
)

// Terminal reports whether nothing follows.
func (s Status) Terminal() bool {
	return s == Completed || s == Failed || s == Timeout || s == Cancelled
}

// Execution is the record of one asynchronous invocation.
type Execution struct {
	ID string `json:"id"`
	// Org is the organization of the caller who submitted it; the record belongs to it. For an app of
	// org "public" it is not the app's own.
	Org string `json:"org"`
	App AppRef `json:"app"`
	// Version ran it, or while it waits was active at submission.
	Version uint32 `json:"version"`
	Status  Status `json:"status"`
	// Incarnation of the app that it was submitted to; an app that was made again under the name does not run it.
	Incarnation string `json:"incarnation,omitempty"`
	// Attempt counts how often it was given to a worker; 0 while it waits for its first. It fences: see the package comment.
	Attempt uint32 `json:"attempt"`
	// Retry is the policy of its call over that of its app. What both leave open is not stored: it is DefaultRetry's.
	Retry RetryPolicy `json:"retry,omitzero"`
	// AppFailures, of Retry.MaxAttempts, and PlatformFailures count failed attempts, Postponements how often the app said "not now".
	AppFailures      uint32 `json:"app_failures,omitempty"`
	PlatformFailures uint32 `json:"platform_failures,omitempty"`
	Postponements    uint32 `json:"postponements,omitempty"`
	// NotBefore is when its submitter wants it to begin; zero is at once. DueAt is until when it waits, for that or for its next attempt.
	NotBefore time.Time `json:"not_before,omitzero"`
	DueAt     time.Time `json:"due_at,omitzero"`
	// RedrivenFrom is the dead letter it was made from.
	RedrivenFrom string `json:"redriven_from,omitempty"`
	// Worker holds the attempt.
	Worker string `json:"worker,omitempty"`
	Tier   Tier   `json:"tier,omitempty"`

	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	Error *ExecutionError `json:"error,omitempty"`
	// ResponseStatus is 0 if no pod answered.
	ResponseStatus  int         `json:"response_status,omitempty"`
	ResponseHeader  http.Header `json:"response_header,omitempty"`
	ResponseTrailer http.Header `json:"response_trailer,omitempty"`
	// Streamed says that the output was also published chunk by chunk, Chunks how many there were.
	Streamed bool  `json:"streamed,omitempty"`
	Chunks   int64 `json:"chunks,omitempty"`

	Queued    time.Duration `json:"queued,omitempty"`
	ColdStart time.Duration `json:"cold_start,omitempty"`
	Ran       time.Duration `json:"ran,omitempty"`

	// RequestObject names the request's body in the payload store if it was too large for the message. The body is
	// deleted once the execution has completed or is cancelled, and kept until the record expires if it failed.
	RequestObject string `json:"request_object,omitempty"`
	ResultSize    int64  `json:"result_size,omitempty"`
	// ResultObject names the result in the payload store if it was too large for the record; then Result is nil.
	ResultObject string `json:"result_object,omitempty"`
	// Result is kept beside the JSON, not in it.
	Result []byte `json:"-"`

	// Revision is the one this Execution was read at.
	Revision uint64 `json:"-"`
	// stored is what the record at Revision says; UpdateExecution judges by it what may follow.
	stored state
}

// ExecutionError says for programs and for people why an execution did not complete.
type ExecutionError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// MaxInline is the largest body that travels in a message or a record, in bytes; larger ones are payload objects.
// A NATS message is at most 1 MiB by default, headers included.
const MaxInline = 512 << 10

// state is the part of a record that decides what may follow it.
type state struct {
	status  Status
	attempt uint32
}

// mayFollow reports whether a record may change from one state to the other: see the picture in the package comment.
// An attempt is given out once; whoever takes the record, be it from the queue or from a worker that is lost, takes a
// higher one.
func (next state) mayFollow(before state) bool {
	switch before.status {
	case Pending:
		return next.status == Running && next.attempt > before.attempt ||
			next.status.Terminal() && next.status != Completed && next.attempt == before.attempt
	case Running:
		return next.status == Running && next.attempt > before.attempt ||
			(next.status == Pending || next.status.Terminal()) && next.attempt == before.attempt
	default:
		return false
	}
}
