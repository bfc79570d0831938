package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// claim says which port of which app a host label belongs to. It holds as long as that incarnation of the app does.
type claim struct {
	Owner       AppRef `json:"owner"`
	Incarnation string `json:"incarnation"`
	Port        uint32 `json:"port"`

	label    string
	revision uint64
}

// Host answers the app and the port that own a host label such as "hello-acme-corp". It is answered from memory.
func (s *Store) Host(label string) (ref AppRef, port uint32, ok bool) {
	held, ok := s.hosts.get(label)
	if !ok {
		return AppRef{}, 0, false
	}
	if app, ok := s.apps.get(held.Owner); !ok || app.Incarnation != held.Incarnation {
		return AppRef{}, 0, false
	}
	return held.Owner, held.Port, true
}

// claimHosts claims a label for each port of v that has one. Claims of an app are kept until it is deleted, so that
// going back to an older version needs no new ones.
func (s *Store) claimHosts(ctx context.Context, v Version, hosts []string) error {
	ports := v.Ports
	if len(ports) == 0 {
		ports = []uint32{DefaultPort}
	}
	if len(hosts) > len(ports) {
		return fmt.Errorf("%d hosts for %d ports", len(hosts), len(ports))
	}
	// All are looked at before the first is claimed: a publication that is refused leaves no claim behind.
	for _, step := range []func(context.Context, claim) error{s.claimable, s.claim} {
		for i, label := range hosts {
			if label == "" {
				continue
			}
			wanted := claim{Owner: v.AppRef, Incarnation: v.Incarnation, Port: ports[i], label: label}
			if err := step(ctx, wanted); err != nil {
				return fmt.Errorf("claim host %q: %w", label, err)
			}
		}
	}
	return nil
}

// claimable reports as an error that wanted cannot be claimed as things stand.
func (s *Store) claimable(ctx context.Context, wanted claim) error {
	if !validLabel(wanted.label) {
		return ErrInvalidName
	}
	held, err := s.heldClaim(ctx, wanted.label)
	if err != nil {
		return err
	}
	return s.mayTakeOver(ctx, held, wanted)
}

func (s *Store) claim(ctx context.Context, wanted claim) error {
	for {
		held, err := s.heldClaim(ctx, wanted.label)
		if err != nil {
			return err
		}
		if held.Owner == wanted.Owner && held.Incarnation == wanted.Incarnation && held.Port == wanted.Port {
			return nil
		}
		if err := s.mayTakeOver(ctx, held, wanted); err != nil {
			return err
		}
		err = s.writeClaim(ctx, wanted, held.revision)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExists) {
			return err
		}
	}
}

// mayTakeOver lets a claim be replaced by its own owner, or by anybody once its owner is gone: an app that is created
// later has another incarnation, so a claim that is void stays void.
func (s *Store) mayTakeOver(ctx context.Context, held, wanted claim) error {
	if held.revision == 0 || held.Owner == wanted.Owner {
		return nil
	}
	owner, err := s.readApp(ctx, held.Owner)
	if errors.Is(err, ErrNotFound) || err == nil && owner.Incarnation != held.Incarnation {
		return nil
	}
	if err != nil {
		return err
	}
	return &HostTakenError{Host: held.label, Owner: held.Owner, Port: held.Port, For: wanted.Owner, ForPort: wanted.Port}
}

// heldClaim asks the bucket. A label that nobody holds has revision 0.
func (s *Store) heldClaim(ctx context.Context, label string) (claim, error) {
	held, err := s.buckets.hosts.Get(ctx, label)
	if err = translate(err); errors.Is(err, ErrNotFound) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	return decodeClaim(label, storedOf(held))
}

// writeClaim stores c in place of what was held at revision; 0 means nothing.
func (s *Store) writeClaim(ctx context.Context, c claim, revision uint64) error {
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode claim: %w", err)
	}
	if revision == 0 {
		c.revision, err = s.buckets.hosts.Create(ctx, c.label, value)
		err = translateCreate(err)
	} else {
		c.revision, err = s.buckets.hosts.Update(ctx, c.label, value, revision)
		err = translate(err)
	}
	if err != nil {
		return err
	}
	s.hosts.wrote(c.label, c, c.revision)
	return nil
}

// release gives a label back, unless somebody else holds it by now.
func (s *Store) release(ctx context.Context, c claim) error {
	err := translate(s.buckets.hosts.Purge(ctx, c.label,
		jetstream.LastRevision(c.revision), jetstream.PurgeTTL(markerTTL)))
	if errors.Is(err, ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release host %s: %w", c.label, err)
	}
	s.hosts.deleted(c.label, c.revision)
	return nil
}

func parseHostKey(key string) (string, error) {
	if !validLabel(key) {
		return "", fmt.Errorf("host %q: %w", key, errKey)
	}
	return key, nil
}

func decodeClaim(label string, stored stored) (c claim, err error) {
	if err := json.Unmarshal(stored.value, &c); err != nil {
		return claim{}, fmt.Errorf("decode claim of host %s: %w", label, err)
	}
	c.label, c.revision = label, stored.revision
	return c, nil
}
