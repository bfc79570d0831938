package gateway

import (
	"context"
	"log/slog"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// lostAfter is how old a record must be whose work is missed: far older than a submission can be that is still under way.
const lostAfter = 5 * time.Minute

// mended answers a record as it is, but ends one that waits for nothing: its work is not in the queue, so nobody would ever run it. A
// gateway leaves such a record if it dies between its two writes, with an id that nobody was told; a person may, who deletes work.
func (s *service) mended(ctx context.Context, record store.Execution) store.Execution {
	if record.Status != store.Pending || time.Since(record.CreatedAt) < lostAfter || !record.DueAt.IsZero() {
		return record // what waits for its time is not in the queue
	}
	waits, err := s.cfg.Stream.Waits(ctx, stream.App{Org: record.App.Org, Name: record.App.Name}, record.ID)
	if err != nil || waits {
		return record // it may be looked for again when the record is read next
	}
	ended := record
	ended.Status, ended.FinishedAt = store.Failed, time.Now()
	ended.Error = &store.ExecutionError{Code: "INTERNAL", Message: "its work is not in the queue any more, or never was: submit it again"}
	if ended, err = s.cfg.Store.UpdateExecution(ctx, ended); err == nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "ended an execution without work", slog.String("execution", record.ID))
		return ended
	}
	// Most likely it was just taken, run and acknowledged.
	if now, err := s.cfg.Store.Execution(ctx, record.Org, record.ID); err == nil {
		return now
	}
	return record
}
