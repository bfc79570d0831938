package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// submission is a call that is to be stored and run later.
type submission struct {
	call
	// key, if it is not empty, stands for this submission: it is accepted once, however often it is repeated. fingerprint tells a
	// repetition from another request with the same key.
	key, fingerprint string
	// retry is the policy of this call; what it leaves open is the app's.
	retry store.RetryPolicy
	// due is when it is to begin; zero is at once.
	due time.Time
	// redrivenFrom is the dead letter that it was made from.
	redrivenFrom string
}

func (c submission) id() string { return c.identity.ExecutionID }

// InvokeAsync answers the id once the record and the work are on disk: an id that was handed out is known from then on.
func (s *service) InvokeAsync(ctx context.Context, r *ignitev1.InvokeRequest) (*ignitev1.InvokeAsyncResponse, error) {
	app, err := s.published(ctx, r)
	if err != nil {
		return nil, err
	}
	c, err := s.newSubmission(ctx, app, r)
	if err != nil {
		return nil, err
	}
	return finish(ctx, s, func(ctx context.Context) (*ignitev1.InvokeAsyncResponse, error) {
		id, err := s.submit(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := s.syncSubmissions(ctx); err != nil {
			return nil, fmt.Errorf("execution %s: %w", id, err)
		}
		return &ignitev1.InvokeAsyncResponse{ExecutionId: id}, nil
	})
}

// newSubmission checks everything about r that can be checked without storing anything.
func (s *service) newSubmission(ctx context.Context, app store.App, r *ignitev1.InvokeRequest) (submission, error) {
	c, err := s.newCall(ctx, app, r)
	if err != nil {
		return submission{}, err
	}
	if c.org == "" {
		return submission{}, newFault(codes.PermissionDenied, "the token names no organization, and an execution must belong to one: use Invoke")
	}
	stripCredentials(c.envelope.Header)
	key, err := keyOf(ctx, r)
	if err != nil {
		return submission{}, err
	}
	var v violations
	v.retry(r.GetRetry(), app.Retry)
	due := v.due(r, time.Now())
	if err := v.err(); err != nil {
		return submission{}, err
	}
	sub := submission{call: c, retry: storedRetry(r.GetRetry()), due: due}
	if key == "" {
		return sub, nil
	}
	sub.key = callerKeyOf(app, key)
	sub.fingerprint, err = fingerprint(sub, r)
	return sub, err
}

// submit stores c and answers its id, which nobody is told before syncSubmissions: key claimed, a large body put aside, then record and work. If
// it fails, what it left is taken away again.
func (s *service) submit(ctx context.Context, c submission) (id string, err error) {
	claimed, accepted, err := s.claim(ctx, c)
	if err != nil {
		return "", err
	}
	if accepted {
		return claimed.id(), nil
	}
	left, err := s.accept(ctx, claimed)
	mine := claimed.id() == c.id()
	if err == nil && !mine {
		err = s.confirm(ctx, claimed, &left)
	}
	if err != nil {
		s.undo(ctx, left, claimed, mine, err)
		return "", fmt.Errorf("accept execution %s: %w", claimed.id(), err)
	}
	return claimed.id(), nil
}

// syncSubmissions returns when what was submitted before is on disk.
func (s *service) syncSubmissions(ctx context.Context) error {
	if err := s.cfg.Store.Sync(ctx); err != nil {
		return fmt.Errorf("sync submissions: %w", err)
	}
	s.cfg.Reached(SubmissionSynced)
	return nil
}

// accept stores body, record and work, and answers what it left if it fails. It asks for room first, so that a store that is
// full is not filled with what nobody will fetch.
func (s *service) accept(ctx context.Context, c submission) (left remains, err error) {
	left.work, left.record, err = newWork(c)
	if err != nil {
		return left, err
	}
	if err := s.cfg.Store.Admit(ctx); err != nil {
		return left, err
	}
	if left.record.RequestObject != "" {
		left.aside = true
		if err := s.cfg.Store.PutPayload(ctx, left.record.RequestObject, c.body); err != nil {
			return left, fmt.Errorf("store the request: %w", err)
		}
		s.cfg.Reached(BodyStored)
	}
	if c.key == "" {
		err = s.storeBoth(ctx, &left)
	} else {
		err = s.storeInTurn(ctx, &left)
	}
	if err == nil {
		s.cfg.Reached(Accepted)
	}
	return left, err
}

// newWork is a submission as work and as record. A body that is too large for the message is named in both.
func newWork(c submission) (stream.Work, store.Execution, error) {
	work := stream.Work{Execution: c.id(), Owner: c.org, App: stream.App{Org: c.app.Org, Name: c.app.Name}, Body: c.body}
	head := pod.Head{Envelope: c.envelope, Identity: c.identity}
	if len(c.body) > store.MaxInline {
		head.Object, head.ObjectSize, work.Body = "request."+c.id(), int64(len(c.body)), nil
	}
	request, err := pod.EncodeHead(head)
	if err != nil {
		return stream.Work{}, store.Execution{}, err
	}
	work.Request = request
	return work, newRecord(c, head.Object), nil
}

func newRecord(c submission, object string) store.Execution {
	return store.Execution{
		ID:            c.id(),
		Org:           c.org,
		App:           c.app.AppRef,
		Version:       c.app.ActiveVersion,
		Status:        store.Pending,
		Retry:         c.retry.Over(c.app.Retry),
		Incarnation:   c.app.Incarnation,
		Tier:          c.app.Tier,
		CreatedAt:     time.Now(),
		NotBefore:     c.due,
		DueAt:         c.due,
		RedrivenFrom:  c.redrivenFrom,
		RequestObject: object,
	}
}

// storeBoth writes record and work side by side.
func (s *service) storeBoth(ctx context.Context, left *remains) error {
	var (
		writing  sync.WaitGroup
		queueErr error
	)
	due := left.record.DueAt // the record is replaced by the stored one meanwhile
	writing.Go(func() { queueErr = s.enqueue(ctx, left, due) })
	recordErr := s.create(ctx, left)
	writing.Wait()
	return errors.Join(recordErr, queueErr)
}

// storeInTurn writes the work before the record, so that whoever repeats the submission and finds the record finds it accepted: it may
// have been cut off anywhere, or be under way at the same time, and both write the same.
func (s *service) storeInTurn(ctx context.Context, left *remains) error {
	if err := s.enqueue(ctx, left, left.record.DueAt); err != nil {
		left.doubtful = left.queued
		return err
	}
	err := s.create(ctx, left)
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// enqueue gives the work to the workers, or keeps it for when it is due. What is due in a moment the worker holds back itself.
func (s *service) enqueue(ctx context.Context, left *remains, due time.Time) (err error) {
	if time.Until(due) > soon {
		err = s.cfg.Stream.EnqueueLater(ctx, left.work, due, false)
	} else {
		err = s.cfg.Stream.Enqueue(ctx, left.work)
	}
	left.queued = err == nil || unheard(err)
	if err == nil {
		s.cfg.Reached(WorkQueued)
	}
	return err
}

func (s *service) create(ctx context.Context, left *remains) error {
	created, err := s.cfg.Store.CreateExecution(ctx, left.record)
	left.doubtful = unheard(err)
	if err == nil {
		left.record, left.created = created, true
		s.cfg.Reached(RecordCreated)
	}
	return err
}
