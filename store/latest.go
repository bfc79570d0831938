package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
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
func (s *Store) latest(ctx context.Context, stream jetstream.Stream, subject string) (stored, error) {
	return unlessMark(s.message(ctx, stream, subject))
}

// current is latest for what must not go back in time: a replica that lags behind may know an older value.
func (s *Store) current(ctx context.Context, stream jetstream.Stream, subject string) (stored, error) {
	return unlessMark(s.currentMessage(ctx, stream, subject))
}

// currentMessage is message under the same condition.
func (s *Store) currentMessage(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	if s.options.Replicas > 1 {
		return s.messageOfLeader(ctx, stream, lastOf(subject))
	}
	return s.message(ctx, stream, subject)
}

// unlessMark answers ErrNotFound for the mark of a deletion: it is empty, and no value is.
func unlessMark(found *jetstream.RawStreamMsg, err error) (stored, error) {
	if err != nil {
		return stored{}, err
	}
	if len(found.Data) == 0 {
		return stored{}, ErrNotFound
	}
	return stored{found.Data, found.Sequence}, nil
}

// message answers the last message of a subject. ErrNotFound if there is none.
//
// A direct get is quick because any replica may answer it. One that lags behind may not know what was acknowledged a
// moment ago, so with several of them only their leader says that there is nothing.
func (s *Store) message(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	found, err := stream.GetLastMsgForSubject(ctx, subject)
	if err = translate(err); errors.Is(err, ErrNotFound) && s.options.Replicas > 1 {
		return s.messageOfLeader(ctx, stream, lastOf(subject))
	}
	return found, err
}

// request is what the API of a stream calls a message get.
type request struct {
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Sequence uint64 `json:"seq,omitempty"`
}

func lastOf(subject string) request { return request{LastFor: subject} }

// messageOfLeader asks the one replica that knows of every acknowledged write. nats.go does so only for streams that
// do not allow direct gets at all.
func (s *Store) messageOfLeader(ctx context.Context, stream jetstream.Stream, wanted request) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	body, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	answer, err := s.options.Conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream.CachedInfo().Config.Name, body)
	if err != nil {
		return nil, translate(err)
	}
	return decodeMessage(answer.Data)
}

func decodeMessage(answer []byte) (*jetstream.RawStreamMsg, error) {
	var found struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string `json:"subject"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		return nil, fmt.Errorf("decode answer of leader: %w", err)
	}
	if found.Error != nil {
		return nil, translate(found.Error)
	}
	message := &jetstream.RawStreamMsg{
		Subject: found.Message.Subject, Data: found.Message.Data, Sequence: found.Message.Sequence,
	}
	if len(found.Message.Header) == 0 {
		return message, nil
	}
	header, err := nats.DecodeHeadersMsg(found.Message.Header)
	if err != nil {
		return nil, fmt.Errorf("decode header of leader's answer: %w", err)
	}
	message.Header = header
	return message, nil
}
