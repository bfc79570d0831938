package pod

import (
	"errors"
	"fmt"
	"strings"
)

// What callers decide by.
var (
	// ErrBusy says that no more calls are held for the app; try again later.
	ErrBusy = errors.New("too many calls are waiting for a pod")
	// ErrUnreachable says that a pod could not be given the call: nothing of it was sent, so it may be tried elsewhere.
	ErrUnreachable = errors.New("pod is unreachable")
	// ErrBroken says that a pod failed while it had the call.
	ErrBroken = errors.New("pod failed during the call")
	// ErrAppGone says that the app does not exist, or was deleted while the call waited.
	ErrAppGone = errors.New("app is gone")
	// ErrOutOfMemory says that the kernel killed a pod, or a part of it, that wanted more memory than it may have.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrImage says that an image cannot be built or fetched, for a reason that lies with the image.
	ErrImage = errors.New("image cannot be used")
	// ErrNotPublished says that the app has no version that could serve.
	ErrNotPublished = errors.New("app was never published")
)

// EnvelopeError says which part of an envelope no HTTP request can carry.
type EnvelopeError struct {
	// Field is "method", "path", "query" or "headers".
	Field  string
	Reason string
}

func (e *EnvelopeError) Error() string { return "http." + e.Field + ": " + e.Reason }

// StartError says that a pod did not come up.
type StartError struct {
	Pod    string
	Reason string
	// Log holds the last lines that it wrote.
	Log []string
	Err error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start pod %s: %s%s", e.Pod, e.Reason, tail(e.Log))
}

func (e *StartError) Unwrap() error { return e.Err }

// ExitError says how a pod that had been ready ended.
type ExitError struct {
	Pod    string
	Reason string
	Log    []string
	// Err is ErrOutOfMemory if that is why.
	Err error
}

func (e *ExitError) Unwrap() error { return e.Err }

func (e *ExitError) Error() string {
	return fmt.Sprintf("pod %s ended: %s%s", e.Pod, e.Reason, tail(e.Log))
}

func tail(log []string) string {
	if len(log) == 0 {
		return ""
	}
	return "; last log lines:\n" + strings.Join(log, "\n")
}
