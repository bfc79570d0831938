package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
)

// redriveWidth is how many dead letters are redriven at a time; each may hold a large body in memory.
const redriveWidth = 8

// errNoLetter says that no request is kept for an execution.
var errNoLetter = errors.New("no request is kept")

// RedriveExecution submits the request of a dead letter as a new execution, as the app is now: its active version, its policy. The dead
// letter goes when the new execution is on disk.
func (s *service) RedriveExecution(ctx context.Context, r *ignitev1.RedriveExecutionRequest) (*ignitev1.RedriveExecutionResponse, error) {
	return finish(ctx, s, func(ctx context.Context) (*ignitev1.RedriveExecutionResponse, error) {
		record, err := s.execution(ctx, r.GetExecutionId())
		if err != nil {
			return nil, err
		}
		id, err := s.redrive(ctx, record)
		if err != nil {
			return nil, err
		}
		if err := s.syncSubmissions(ctx); err != nil {
			return nil, fmt.Errorf("redrive execution %s: %w", record.ID, err)
		}
		s.cfg.Reached(Redriven)
		s.useUp(ctx, record)
		return &ignitev1.RedriveExecutionResponse{ExecutionId: id}, nil
	})
}

// RedriveExecutions redrives what fits, newest first. One that is refused stays a dead letter, and the others go on.
func (s *service) RedriveExecutions(ctx context.Context, r *ignitev1.RedriveExecutionsRequest) (*ignitev1.RedriveExecutionsResponse, error) {
	return finish(ctx, s, func(ctx context.Context) (*ignitev1.RedriveExecutionsResponse, error) {
		letters, more, err := s.lettersThat(ctx, r.GetFilter(), r.GetLimit())
		if err != nil {
			return nil, err
		}
		results := make([]*ignitev1.RedriveResult, len(letters))
		sideBySide(len(letters), redriveWidth, func(i int) { results[i] = s.redriveEntry(ctx, letters[i]) })
		if err := s.syncSubmissions(ctx); err != nil {
			return nil, fmt.Errorf("redrive %d executions: %w", len(letters), err)
		}
		s.cfg.Reached(Redriven)
		sideBySide(len(letters), redriveWidth, func(i int) {
			if results[i].GetError() == nil {
				s.useUp(ctx, letters[i])
			}
		})
		return &ignitev1.RedriveExecutionsResponse{Results: results, More: more}, nil
	})
}

func (s *service) redriveEntry(ctx context.Context, record store.Execution) *ignitev1.RedriveResult {
	result := &ignitev1.RedriveResult{ExecutionId: record.ID}
	id, err := s.redrive(ctx, record)
	if err != nil {
		result.Error = s.entryError(ctx, ignitev1.ComputeService_RedriveExecutions_FullMethodName, err)
		return result
	}
	result.NewExecutionId = id
	return result
}

// redrive stores the new execution and answers its id, which nobody is told before the next sync. Repeated, it answers the same id.
func (s *service) redrive(ctx context.Context, record store.Execution) (id string, err error) {
	if record.Status != store.Failed && record.Status != store.Timeout {
		return "", newFault(codes.FailedPrecondition, "execution %s is %s: only what ended FAILED or TIMEOUT can be redriven",
			record.ID, toPublic(executionStatuses, record.Status))
	}
	c, err := s.resubmission(ctx, record)
	if errors.Is(err, errNoLetter) {
		return s.redrivenBefore(ctx, record)
	}
	if err != nil {
		return "", err
	}
	return s.submit(ctx, c)
}

// resubmission is the request of a dead letter as a submission of today.
func (s *service) resubmission(ctx context.Context, record store.Execution) (submission, error) {
	letter, err := s.letter(ctx, record)
	if err != nil {
		return submission{}, err
	}
	app, err := s.appToday(ctx, record)
	if err != nil {
		return submission{}, err
	}
	head, err := pod.DecodeHead(letter.Request)
	if err != nil {
		return submission{}, fmt.Errorf("request of execution %s: %w", record.ID, err)
	}
	if head.Object != "" {
		letter.Body, err = s.cfg.Store.Payload(ctx, head.Object)
		if errors.Is(err, store.ErrNotFound) {
			return submission{}, errNoLetter
		}
		if err != nil {
			return submission{}, err
		}
	}
	stripCredentials(head.Envelope.Header)
	c := redriveOf(record)
	c.app, c.envelope, c.body = app, head.Envelope, letter.Body
	c.identity.FunctionID, c.identity.OrganizationID = head.Identity.FunctionID, head.Identity.OrganizationID
	return c, nil
}

// redriveOf is a resubmission as far as the record alone tells it.
func redriveOf(record store.Execution) submission {
	return submission{
		call: call{
			app:      store.App{AppRef: record.App},
			identity: pod.Identity{ExecutionID: store.NewExecutionID()},
			org:      record.Org,
		},
		// One dead letter has one request, so its name is fingerprint enough.
		key: redriveKeyOf(record.ID), fingerprint: record.ID,
		redrivenFrom: record.ID,
	}
}

// appToday answers the app of an execution, if it can be called and the caller may still do so.
func (s *service) appToday(ctx context.Context, record store.Execution) (store.App, error) {
	if err := callerOf(ctx).MayInvoke(record.App.Org); err != nil {
		return store.App{}, err
	}
	app, err := s.cfg.Store.App(ctx, record.App)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && app.Incarnation != cmp.Or(record.Incarnation, app.Incarnation):
		return store.App{}, newFault(codes.FailedPrecondition, "app %s, which execution %s was for, was deleted", record.App, record.ID)
	case err != nil:
		return store.App{}, err
	case app.ActiveVersion == 0:
		return store.App{}, notPublished(app.AppRef)
	}
	return app, nil
}

// letter answers the dead letter of a record that ended badly. Its worker stores it after the record and before it lets go of the work, so
// one that is missing while the work is there is about to come.
func (s *service) letter(ctx context.Context, record store.Execution) (stream.Work, error) {
	letter, err := s.cfg.Stream.DeadLetter(ctx, record.ID)
	if !errors.Is(err, stream.ErrNotFound) {
		return letter, err
	}
	waits, err := s.cfg.Stream.Waits(ctx, stream.App{Org: record.App.Org, Name: record.App.Name}, record.ID)
	if err != nil {
		return stream.Work{}, err
	}
	if waits {
		f := newFault(codes.Unavailable, "the request of execution %s, which has just ended, is still being put aside: try again", record.ID)
		f.details = []protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}}
		return stream.Work{}, f
	}
	letter, err = s.cfg.Stream.DeadLetter(ctx, record.ID)
	if errors.Is(err, stream.ErrNotFound) {
		return stream.Work{}, errNoLetter
	}
	return letter, err
}

// redrivenBefore answers what became of a dead letter that is gone. To ask for the claim of an execution is to make one where there is none.
func (s *service) redrivenBefore(ctx context.Context, record store.Execution) (id string, err error) {
	c := redriveOf(record)
	claimed, accepted, err := s.claim(ctx, c)
	if err != nil {
		return "", err
	}
	if accepted {
		return claimed.id(), nil
	}
	gone := newFault(codes.FailedPrecondition, "the request of execution %s is not kept any more: it was purged, or redriven long ago", record.ID)
	if claimed.id() != c.id() {
		return "", gone
	}
	if _, err := s.cfg.Store.ReleaseKey(ctx, c.org, record.App, c.key, claimOf(c)); err != nil {
		return "", err
	}
	return "", gone
}

// useUp drops a dead letter whose request is an execution again. One that stays is redriven to the same execution, and goes with its record.
func (s *service) useUp(ctx context.Context, record store.Execution) {
	if _, err := s.dropLetter(ctx, record); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a dead letter that was redriven is left behind",
			slog.String("execution", record.ID), slog.String("error", err.Error()))
	}
}
