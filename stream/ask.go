package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// stall is how long after an answer Ask still waits for another. Nobody knows how many there will be.
const stall = 30 * time.Millisecond

// Ask sends data to every process that listens on topic and answers what came back within wait. It ends early once
// no further answer follows the last, and at once if nobody listens; no answer is no error.
func (s *Stream) Ask(ctx context.Context, topic string, data []byte, wait time.Duration) ([][]byte, error) {
	inbox := s.conn.NewInbox()
	sub, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", topic, translate(ctx, err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.conn.PublishRequest(askSubject(topic), inbox, data); err != nil {
		return nil, fmt.Errorf("ask %s: %w", topic, translate(ctx, err))
	}
	answers, err := gather(ctx, sub, wait)
	if err != nil {
		return answers, fmt.Errorf("ask %s: %w", topic, err)
	}
	return answers, nil
}

func gather(ctx context.Context, sub *nats.Subscription, wait time.Duration) ([][]byte, error) {
	var answers [][]byte
	end := time.Now().Add(wait)
	for {
		answer, err := nextAnswer(ctx, sub, min(wait, time.Until(end)))
		switch {
		case ctx.Err() != nil:
			return answers, context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return answers, nil
		case err != nil:
			return answers, translate(ctx, err)
		}
		answers = append(answers, answer)
		wait = stall
	}
}

func nextAnswer(ctx context.Context, sub *nats.Subscription, wait time.Duration) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	message, err := sub.NextMsgWithContext(bounded)
	if err != nil {
		return nil, err
	}
	if len(message.Data) == 0 && message.Header.Get("Status") == "503" {
		return nil, nats.ErrNoResponders
	}
	return message.Data, nil
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
