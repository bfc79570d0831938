package store

import "time"

// Retention is how long an execution is kept after its end.
func (s *Store) Retention() time.Duration { return s.options.Retention }
