package store

import (
	"context"
	"iter"
	"time"
)

// FollowBuildLog is BuildLog for tests that cannot wait as long.
func FollowBuildLog(ctx context.Context, s *Store, id string, silence time.Duration) iter.Seq2[BuildPart, error] {
	return s.followBuildLog(ctx, id, silence)
}
