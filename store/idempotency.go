package store

import "context"

// Claim is what an idempotency key stands for: the execution it was first used for, and that request's fingerprint.
type Claim struct {
	Execution   string `json:"execution"`
	Fingerprint string `json:"fingerprint"`
}

// ClaimKey gives key, of org's calls of app, to mine for a day unless it is taken, and answers the claim that holds: mine, or an earlier
// one, which may be of an execution whose submission has not got any further. Acknowledged but not synced on return.
func (s *Store) ClaimKey(ctx context.Context, org string, app AppRef, key string, mine Claim) (holds Claim, err error) {
	panic("being written")
}

// ReleaseKey takes back a claim whose submission was refused; one that somebody else holds is left alone.
func (s *Store) ReleaseKey(ctx context.Context, org string, app AppRef, key string, mine Claim) error {
	panic("being written")
}
