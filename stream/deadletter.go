package stream

import (
	"context"
	"time"
)

// KeepDeadLetter stores the work of an execution that ended badly until expires, in place of what is kept for it already. Acknowledged but not
// synced on return. When there is no room the oldest give way.
func (s *Stream) KeepDeadLetter(ctx context.Context, w Work, expires time.Time) error {
	panic("being written")
}

// DeadLetter answers the work that is kept for the execution; ErrNotFound if there is none.
func (s *Stream) DeadLetter(ctx context.Context, execution string) (Work, error) {
	panic("being written")
}

// DeadLetters answers which of the executions, at most 1,000, have one.
func (s *Stream) DeadLetters(ctx context.Context, executions []string) (map[string]bool, error) {
	panic("being written")
}

// DropDeadLetter takes it away and reports whether there was one.
func (s *Stream) DropDeadLetter(ctx context.Context, execution string) (bool, error) {
	panic("being written")
}
