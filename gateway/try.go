package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func (s *service) TestDraft(ctx context.Context, r *ignitev1.TestDraftRequest) (*ignitev1.TestDraftResponse, error) {
	app, err := s.app(ctx, r)
	if err != nil {
		return nil, err
	}
	version, err := s.draftVersion(ctx, app)
	if err != nil {
		return nil, err
	}
	result, err := s.try(ctx, version, r)
	if err != nil {
		return nil, err
	}
	return &ignitev1.TestDraftResponse{Result: result}, nil
}

func (s *service) TestAppVersion(ctx context.Context, r *ignitev1.TestAppVersionRequest) (*ignitev1.TestAppVersionResponse, error) {
	if r.GetVersion() == 0 {
		return nil, badField("version", "must be 1 or more")
	}
	_, version, err := s.appVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	result, err := s.try(ctx, version, r)
	if err != nil {
		return nil, err
	}
	return &ignitev1.TestAppVersionResponse{Result: result}, nil
}

// draftVersion is the draft as the version that it would become, without a number.
func (s *service) draftVersion(ctx context.Context, app store.App) (store.Version, error) {
	if app.Draft == nil {
		return store.Version{}, noDraft(app.AppRef)
	}
	artifact, err := s.draftArtifact(ctx, app)
	if err != nil {
		return store.Version{}, err
	}
	return store.Version{
		AppRef:       app.AppRef,
		Incarnation:  app.Incarnation,
		Config:       app.Config,
		Code:         app.Draft.Code,
		ArtifactHash: artifact,
		CreatedAt:    app.Draft.CreatedAt,
	}, nil
}

// draftArtifact is the hash of what a pod would run; code that needs no build is that itself.
func (s *service) draftArtifact(ctx context.Context, app store.App) (string, error) {
	switch app.Draft.Status {
	case store.DraftCompiled:
		return app.Draft.ArtifactHash, nil
	case store.DraftFailed:
		return "", newFault(codes.FailedPrecondition, "the draft of %s does not compile: %s", app, app.Draft.Error)
	}
	code := app.Draft.Code
	archive, err := s.archive(ctx, code.Hash)
	if err != nil {
		return "", err
	}
	needed, err := s.cfg.Builder.NeedsBuild(ctx, code, archive)
	if err != nil {
		return "", invalidCode(err)
	}
	if needed {
		return "", newFault(codes.FailedPrecondition, "the draft of %s is not compiled: compile it first", app)
	}
	return code.Hash, nil
}

// trial is a request to call a version once.
type trial interface {
	appMessage
	GetHttp() *ignitev1.HttpContext
	GetBody() []byte
}

// try calls a pod of v that is started for this call. What the app does wrong, not starting included, is in the result; an error is about
// the request or the platform.
func (s *service) try(ctx context.Context, v store.Version, r trial) (*ignitev1.TestResult, error) {
	arrived := time.Now()
	c, err := s.newCall(ctx, store.App{AppRef: v.AppRef}, &ignitev1.InvokeRequest{Http: r.GetHttp(), Body: r.GetBody()})
	if err != nil {
		return nil, err
	}
	stripToken(c.envelope.Header, callerOf(ctx).token)
	timeout := timeoutOf(v.Config)
	limit := timeout + s.cfg.ColdStartBudget
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &pod.TimeoutError{Clock: pod.ClockTotal, Limit: limit})
	defer cancel()
	result := &ignitev1.TestResult{}
	logs, err := s.cfg.Dispatcher.Try(ctx, v, func(t pod.Target) error {
		result.ColdStartMs = time.Since(arrived).Milliseconds()
		response, err := s.pods.Do(ctx, t, pod.Request{
			Envelope:      c.envelope,
			Identity:      c.identity,
			Body:          bytes.NewReader(c.body),
			ContentLength: int64(len(c.body)),
			Clocks:        pod.Clocks{Total: timeout},
		})
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }() // what it has to say came with the last read
		return s.takeAnswer(result, response)
	})
	result.DurationMs = time.Since(arrived).Milliseconds()
	for _, line := range logs {
		result.LogLines = append(result.LogLines, validUTF8(line))
	}
	result.Error, err = trialError(err)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// errAnswerTooLarge ends the reading of an answer that is larger than what can be answered.
var errAnswerTooLarge = errors.New("the answer is too large")

// takeAnswer reads what a pod answers; what came before an error is kept.
func (s *service) takeAnswer(result *ignitev1.TestResult, response *http.Response) error {
	result.StatusCode = uint32(response.StatusCode)
	result.ResponseHeaders = headerFields(response.Header)
	limit := s.cfg.MaxPayloadBytes
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if int64(len(body)) > limit {
		body, err = body[:limit], fmt.Errorf("%w: it has more than the limit of %d bytes", errAnswerTooLarge, limit)
	}
	result.Body = body
	return err
}

// trialTimeouts are the codes of the clocks, as executions have them.
var trialTimeouts = map[string]string{
	pod.ClockColdStart: "TIMEOUT_COLD_START",
	pod.ClockFirstByte: "TIMEOUT_FIRST_BYTE",
	pod.ClockIdle:      "TIMEOUT_IDLE",
	pod.ClockTotal:     "TIMEOUT_TOTAL",
}

// trialError tells what lies with the app, with the code that an execution would have, from what is an error of the request.
func trialError(err error) (*ignitev1.ExecutionError, error) {
	timeout, late := errors.AsType[*pod.TimeoutError](err)
	start, notStarted := errors.AsType[*pod.StartError](err)
	code, message := "", ""
	switch {
	case err == nil:
		return nil, nil
	case late:
		code, message = trialTimeouts[timeout.Clock], timeout.Error()
	case errors.Is(err, pod.ErrOutOfMemory):
		code, message = "OUT_OF_MEMORY", err.Error()
	case notStarted: // its log is among the lines
		code, message = "POD_START_FAILED", start.Reason
	case errors.Is(err, pod.ErrUnreachable):
		code, message = "POD_UNREACHABLE", err.Error()
	case errors.Is(err, pod.ErrBroken):
		code, message = "POD_BROKEN", err.Error()
	case errors.Is(err, errAnswerTooLarge):
		code, message = "RESULT_TOO_LARGE", err.Error()
	default:
		return nil, err
	}
	return &ignitev1.ExecutionError{Code: code, Message: validUTF8(message)}, nil
}
