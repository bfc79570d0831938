package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// stall is how long after an answer Ask still waits for another. Nobody knows how many there will be.
const stall = 30 * time.Millisecond

// maxAnswers bounds the answers that wait to be gathered; those beyond are lost.
const maxAnswers = 256

// Ask sends data to every process that listens on topic and answers what came back within wait. It ends early once
// no further answer follows the last, and at once if nobody listens; no answer is no error.
func (s *Stream) Ask(ctx context.Context, topic string, data []byte, wait time.Duration) ([][]byte, error) {
	inbox := s.conn.NewInbox()
	heard := make(chan *nats.Msg, maxAnswers)
	sub, err := s.conn.ChanSubscribe(inbox, heard)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", topic, translate(ctx, err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.conn.PublishRequest(askSubject(topic), inbox, data); err != nil {
		return nil, fmt.Errorf("ask %s: %w", topic, translate(ctx, err))
	}
	answers, err := gather(ctx, heard, wait)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", topic, err)
	}
	return answers, nil
}

func gather(ctx context.Context, heard <-chan *nats.Msg, wait time.Duration) ([][]byte, error) {
	var answers [][]byte
	over, stalled := time.NewTimer(wait), time.NewTimer(wait)
	defer over.Stop()
	defer stalled.Stop()
	for {
		select {
		case answer := <-heard:
			if answer.Header.Get("Status") == "503" {
				return answers, nil
			}
			answers = append(answers, answer.Data)
			stalled.Reset(stall)
		case <-stalled.C:
			return answers, nil
		case <-over.C:
			return answers, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Answer lets reply answer each Ask on topic until ctx ends or the Stream is closed. It returns once it listens; reply runs on a
// goroutine of its own, for one question after the other. nil is no answer.
func (s *Stream) Answer(ctx context.Context, topic string, reply func(data []byte) []byte) error {
	sub, err := s.conn.Subscribe(askSubject(topic), func(question *nats.Msg) {
		if answer := reply(question.Data); answer != nil {
			// Who asked and is gone needs no answer.
			_ = question.Respond(answer)
		}
	})
	if err != nil {
		return fmt.Errorf("answer %s: %w", topic, translate(ctx, err))
	}
	err = s.start(func() {
		select {
		case <-ctx.Done():
		case <-s.closing:
		}
		_ = sub.Unsubscribe()
	})
	if err != nil {
		_ = sub.Unsubscribe()
		return fmt.Errorf("answer %s: %w", topic, err)
	}
	return settle(ctx, s.conn)
}
