package stream

import (
	"context"
	"iter"
)

// Changes yields once at first, and then whenever the execution's record changed or may have: read it again. Unlike Watch it is
// not concerned with output. It ends with ctx, or with an error as its last value. Changes that come while the loop's body runs are one.
func (s *Stream) Changes(ctx context.Context, execution string) iter.Seq[error] {
	panic("being written")
}

// CancelTopic is where a worker hears which execution, whose record it held, was cancelled: Ask it with the id.
func CancelTopic(worker string) string { return "cancel-" + worker }
