package stream

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The requests here are answered by the stream's leader, who knows of every message that was acknowledged.

const (
	codeMessageNotFound  jetstream.ErrorCode = 10037
	codeSequenceNotFound jetstream.ErrorCode = 10043
)

// api asks JetStream and reads its answer into answer. It waits for no longer than answerWait.
func (s *Stream) api(ctx context.Context, subject string, request, answer any) error {
	waiting, done := bounded(ctx)
	defer done()
	data, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	message, err := s.conn.RequestWithContext(waiting, "$JS.API."+subject, data)
	if err != nil {
		return err
	}
	var refused struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(message.Data, &refused); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if refused.Error != nil {
		return refused.Error
	}
	return json.Unmarshal(message.Data, answer)
}

// streamState is a part of what JetStream says of a stream.
type streamState struct {
	State struct {
		Bytes    uint64            `json:"bytes"`
		LastSeq  uint64            `json:"last_seq"`
		Subjects map[string]uint64 `json:"subjects"`
	}
}

// state answers a stream's size and, of the subjects that filter matches, how many messages each holds; an empty filter matches none.
// The answer ends after 100,000 subjects.
func (s *Stream) state(ctx context.Context, name, filter string) (streamState, error) {
	type infoRequest struct {
		Filter string `json:"subjects_filter,omitempty"`
	}
	var answer streamState
	err := s.api(ctx, "STREAM.INFO."+name, infoRequest{filter}, &answer)
	return answer, err
}

// countSubjects answers how many messages of a stream have subjects that filter matches.
func (s *Stream) countSubjects(ctx context.Context, name, filter string) (uint64, error) {
	answer, err := s.state(ctx, name, filter)
	var count uint64
	for _, messages := range answer.State.Subjects {
		count += messages
	}
	return count, err
}

// lastMessage answers the newest message under a subject, which may have wildcards, and its place; nil if there is none.
func (s *Stream) lastMessage(ctx context.Context, name, subject string) (*nats.Msg, uint64, error) {
	type lastRequest struct {
		Subject string `json:"last_by_subj"`
	}
	var answer struct {
		Message struct {
			Subject string `json:"subject"`
			Seq     uint64 `json:"seq"`
			Header  []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		}
	}
	err := s.api(ctx, "STREAM.MSG.GET."+name, lastRequest{subject}, &answer)
	if refusedWith(err, codeMessageNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	found := &nats.Msg{Subject: answer.Message.Subject, Data: answer.Message.Data}
	if len(answer.Message.Header) > 0 {
		if found.Header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return nil, 0, err
		}
	}
	return found, answer.Message.Seq, nil
}

// deleteMessage is done too if the message is not there.
func (s *Stream) deleteMessage(ctx context.Context, name string, sequence uint64) error {
	type deleteRequest struct {
		Sequence uint64 `json:"seq"`
		NoErase  bool   `json:"no_erase"`
	}
	err := s.api(ctx, "STREAM.MSG.DELETE."+name, deleteRequest{sequence, true}, &struct{}{})
	if refusedWith(err, codeMessageNotFound, codeSequenceNotFound) {
		return nil
	}
	return err
}

// deleteSubject deletes every message under a subject, which may have wildcards, and reports whether there was one. It deletes them one by
// one: that tells the stream's consumers, and there are no more than two.
func (s *Stream) deleteSubject(ctx context.Context, name, subject string) (found bool, err error) {
	for {
		message, sequence, err := s.lastMessage(ctx, name, subject)
		if err != nil || message == nil {
			return found, err
		}
		found = true
		if err := s.deleteMessage(ctx, name, sequence); err != nil {
			return found, err
		}
	}
}
