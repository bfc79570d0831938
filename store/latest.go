package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// stored is a value as it lies in a bucket.
type stored struct {
	value    []byte
	revision uint64
}

func storedOf(e jetstream.KeyValueEntry) stored {
	return stored{value: e.Value(), revision: e.Revision()}
}

// latest answers what was last stored under a subject, which may end in a wildcard. ErrNotFound if there is nothing.
//
// A direct get is quick because any replica may answer it. One that lags behind may not know what was acknowledged a
// moment ago, so with several of them only their leader says that there is nothing.
func (s *Store) latest(ctx context.Context, stream jetstream.Stream, subject string) (stored, error) {
	message, err := stream.GetLastMsgForSubject(ctx, subject)
	switch err = translate(err); {
	case errors.Is(err, ErrNotFound) && s.options.Replicas > 1:
		return s.latestOfLeader(ctx, stream.CachedInfo().Config.Name, subject)
	case err != nil:
		return stored{}, err
	}
	return unlessMark(stored{message.Data, message.Sequence})
}

// latestOfLeader asks the one replica that knows of every acknowledged write. nats.go does so only for streams that
// do not allow direct gets at all.
func (s *Store) latestOfLeader(ctx context.Context, stream, subject string) (stored, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	request, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return stored{}, fmt.Errorf("encode request: %w", err)
	}
	answer, err := s.options.Conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, request)
	if err != nil {
		return stored{}, translate(err)
	}
	var found struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Data     []byte `json:"data"`
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &found); err != nil {
		return stored{}, fmt.Errorf("decode answer of leader: %w", err)
	}
	if found.Error != nil {
		return stored{}, translate(found.Error)
	}
	return unlessMark(stored{found.Message.Data, found.Message.Sequence})
}

// unlessMark answers ErrNotFound for the mark of a deletion: it is empty, and no value is.
func unlessMark(found stored) (stored, error) {
	if len(found.value) == 0 {
		return stored{}, ErrNotFound
	}
	return found, nil
}
