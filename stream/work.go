package stream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// App names an app here; stream imports nothing of ours, so it has its own pair.
type App struct{ Org, Name string }

// String is the app's public id.
func (a App) String() string { return a.Org + "/" + a.Name }

// Work is one execution that waits, with the request to give to the pod.
type Work struct {
	Execution string
	// Owner is the organization whose record it is.
	Owner string
	App   App
	// Request is opaque here: the engine's encoding of everything but the body.
	Request []byte
	// Body of the request if it travels in the message.
	Body []byte
}

const (
	ownerHeader = "Ignite-Owner"
	// requestHeader says how many bytes at the beginning of the data are Work.Request; the body follows.
	requestHeader = "Ignite-Request-Length"
)

// Enqueue stores w once under its execution's id: while it waits or is held by a worker, a repetition is dropped.
// Acknowledged but not synced on return. ErrFull if the queue is at its cap.
func (s *Stream) Enqueue(ctx context.Context, w Work) error {
	if err := w.check(); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	_, err := s.store(ctx, w, "")
	return err
}

// store puts w into the queue and reports whether it was not there. due is the place it was moved from, if it was.
func (s *Stream) store(ctx context.Context, w Work, due string) (bool, error) {
	message := encodeWork(w, workSubject(shardOf(w.App, s.options.Shards), w.App, w.Execution))
	if due != "" {
		message.Header[movedHeader] = []string{due}
	}
	// Sequence 0 means that the subject must be empty. That holds as long as the work is there, and costs
	// no memory, where JetStream's own duplicate window would keep every id for as long as it is wide.
	err := s.publish(ctx, message, jetstream.WithExpectLastSequencePerSubject(0))
	switch {
	case refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("enqueue %s for %s: %w", w.Execution, w.App, translate(ctx, err))
	}
	s.waker.wake(w.App)
	return true, nil
}

func (w Work) check() error {
	if err := checkWork(w.App, w.Execution); err != nil {
		return err
	}
	if err := checkName(w.Owner); err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	return nil
}

func encodeWork(w Work, subject string) *nats.Msg {
	data := make([]byte, 0, len(w.Request)+len(w.Body))
	return &nats.Msg{
		Subject: subject,
		Header: nats.Header{
			ownerHeader:   {w.Owner},
			requestHeader: {strconv.Itoa(len(w.Request))},
		},
		Data: append(append(data, w.Request...), w.Body...),
	}
}

// decodeWork is the inverse of encodeWork.
func decodeWork(message *nats.Msg) (Work, error) {
	app, execution, err := parseStoredWork(message.Subject)
	if err != nil {
		return Work{}, err
	}
	length, err := strconv.Atoi(message.Header.Get(requestHeader))
	if err != nil || length < 0 || length > len(message.Data) {
		return Work{}, fmt.Errorf("%w: work of %s has no request", ErrInvalid, execution)
	}
	w := Work{
		Execution: execution,
		Owner:     message.Header.Get(ownerHeader),
		App:       app,
		Request:   message.Data[:length:length],
		Body:      message.Data[length:],
	}
	return w, w.check()
}
