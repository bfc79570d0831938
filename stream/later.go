package stream

import (
	"context"
	"time"
)

// EnqueueLater stores w until due, in place of what is stored for the execution so already; then MoveDue of some process enqueues it.
// Acknowledged but not synced on return. ErrFull if there is no room: unlike the queue, this stream cannot refuse by itself, so a part of it is
// kept from new executions and left to those that wait for their next attempt, for which again says true.
func (s *Stream) EnqueueLater(ctx context.Context, w Work, due time.Time, again bool) error {
	panic("being written")
}

// IsLater reports whether the execution waits for its time, or is due and not moved yet.
func (s *Stream) IsLater(ctx context.Context, execution string) (bool, error) {
	panic("being written")
}

// MoveDue enqueues work whose time has come, until ctx ends. Any number of processes may do it; each message is moved by one of them,
// and again by another if that one dies. While the execution's earlier work is still in the queue, due work waits: that work may be
// acknowledged any moment, and must not take the new one with it.
func (s *Stream) MoveDue(ctx context.Context) error {
	panic("being written")
}

// Remove deletes the execution's work, waiting, held or for later. It is for an execution that has ended; a Job that is held stays valid.
func (s *Stream) Remove(ctx context.Context, app App, execution string) error {
	panic("being written")
}
