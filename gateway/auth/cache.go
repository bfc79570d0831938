package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// maxTrust bounds how long an answer is repeated without asking again, so that a key that the issuer took back is
// noticed long before the tokens it signed expire.
const maxTrust = time.Minute

// Cached answers a Verifier that asks v once a minute for a token that keeps coming, and keeps the answers about at most size tokens,
// by their SHA-256. Only good answers are kept, and none past the token's end.
func Cached(v Verifier, size int) Verifier {
	return &cache{verifier: v, generation: max(1, size/2), young: map[digest]trusted{}}
}

type digest = [sha256.Size]byte

type trusted struct {
	principal Principal
	until     time.Time
}

// cache holds two generations of at most generation answers each. When the young one is full it becomes the old one, whose answers
// are forgotten unless they are asked for again: nearly what a list in order of use does, with less to keep per token.
type cache struct {
	verifier   Verifier
	generation int

	mu         sync.Mutex
	young, old map[digest]trusted
}

func (c *cache) Verify(ctx context.Context, token string) (Principal, error) {
	key := sha256.Sum256([]byte(token))
	now := time.Now()
	if principal, ok := c.get(key, now); ok {
		return principal, nil
	}
	principal, err := c.verifier.Verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	until := now.Add(maxTrust)
	if principal.Expires.Before(until) {
		until = principal.Expires
	}
	c.put(key, trusted{principal: principal, until: until})
	return principal, nil
}

// get takes an answer that is asked for again over into the young generation.

func (c *cache) get(key digest, now time.Time) (Principal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.young[key]
	if !ok {
		if found, ok = c.old[key]; ok {
			c.keep(key, found)
		}
	}
	return found.principal, ok && now.Before(found.until)
}

func (c *cache) put(key digest, answer trusted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, answer)
}

// keep is called with the lock held.
func (c *cache) keep(key digest, answer trusted) {
	if len(c.young) >= c.generation {
		c.old, c.young = c.young, make(map[digest]trusted, c.generation)
	}
	c.young[key] = answer
}
