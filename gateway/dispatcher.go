package gateway

import (
	"context"
	"io"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// Dispatcher runs fn with a ready pod of the app's active version that has a free slot. It waits through queue and cold start
// until ctx ends or the cold-start budget is spent (a *pod.TimeoutError), and takes the slot back when fn returns. An fn that answers
// pod.ErrUnreachable is run again with another pod inside the budget. The answer is fn's own error, or why no pod could be had.
//
// held is how many bytes of the call are in memory while it waits; too many of them, or too many calls, are pod.ErrBusy.
//
// The seam hands out a Target where the first design had only a URL: the answer's head wants the version that ran and the time waited.
type Dispatcher interface {
	Do(ctx context.Context, app store.AppRef, held int64, fn func(pod.Target) error) error
	// Try runs fn with a pod of v that is started for it alone, published or not, and answers the pod's last log lines.
	Try(ctx context.Context, v store.Version, fn func(pod.Target) error) (logs []string, err error)
}

// Builder checks code when it is saved and builds it when it is compiled. What is the code's fault is store.ErrInvalidCode.
type Builder interface {
	// Check looks at an archive without building it.
	Check(code store.Code, archive []byte) error
	// NeedsBuild reports whether a pod can run code only once it was built.
	NeedsBuild(ctx context.Context, code store.Code, archive []byte) (bool, error)
	// Build answers what a pod runs, and what the compiler printed also when it fails. An artifact of nil means the archive itself.
	// Each line that the compiler prints is written to lines as it comes, too, one at a time.
	Build(ctx context.Context, code store.Code, archive []byte, lines io.Writer) (artifact []byte, log string, err error)
}
