package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	// maxFrame is the largest chunk frame; gRPC clients take messages of 4 MiB by default.
	maxFrame = 1 << 20
	// readSize is how much of a streamed answer is read at once.
	readSize = 32 << 10
)

// call is one invocation of an app: by whom, as what, with what.
type call struct {
	app      store.App
	envelope pod.Envelope
	identity pod.Identity
	// org is the caller's organization; the record of an asynchronous call belongs to it.
	org  string
	body []byte
}

// answer takes a pod's answer to the caller, part by part.
type answer interface {
	head(id string, response *http.Response) error
	// body copies all of it, and answers how many bytes the caller got.
	body(response *http.Response) (int64, error)
	trailer(total int64, took time.Duration, trailers http.Header) error
}

func (s *service) Invoke(r *ignitev1.InvokeRequest, stream grpc.ServerStreamingServer[ignitev1.InvokeResponse]) error {
	return s.invoke(stream.Context(), r, &frames{stream: stream})
}

// invoke calls the app and copies its answer to out. Nothing is tried again once out has a head.
func (s *service) invoke(ctx context.Context, r *ignitev1.InvokeRequest, out answer) error {
	arrived := time.Now()
	if err := answeredAtOnce(ctx, r); err != nil {
		return err
	}
	app, err := s.published(ctx, r)
	if err != nil {
		return err
	}
	c, err := s.newCall(ctx, app, r)
	if err != nil {
		return err
	}
	stripToken(c.envelope.Header, callerOf(ctx).token)
	return s.dispatch(ctx, c, func(response *http.Response) error {
		if err := out.head(c.identity.ExecutionID, response); err != nil {
			return err
		}
		total, err := out.body(response)
		if err != nil {
			return err
		}
		return out.trailer(total, time.Since(arrived), response.Trailer)
	})
}

// answeredAtOnce refuses what only a call can have that is answered later.
func answeredAtOnce(ctx context.Context, r *ignitev1.InvokeRequest) error {
	var v violations
	refuse := func(field string, given bool) {
		if given {
			v.add(field, "is for InvokeAsync only")
		}
	}
	refuse("idempotency_key", r.GetIdempotencyKey() != "" || len(metadata.ValueFromIncomingContext(ctx, keyMetadata)) > 0)
	refuse("delay", r.Delay != nil)
	refuse("not_before", r.NotBefore != nil)
	refuse("retry", r.Retry != nil)
	return v.err()
}

// published answers the app that a request is about, if it can be called.
func (s *service) published(ctx context.Context, r appMessage) (store.App, error) {
	app, err := s.app(ctx, r)
	if err == nil && app.ActiveVersion == 0 {
		err = notPublished(app.AppRef)
	}
	return app, err
}

// newCall checks that the caller can call the app so, and names the call.
func (s *service) newCall(ctx context.Context, app store.App, r *ignitev1.InvokeRequest) (call, error) {
	if int64(len(r.GetBody())) > s.cfg.MaxPayloadBytes {
		return call{}, tooLarge("body", s.cfg.MaxPayloadBytes)
	}
	envelope, err := newEnvelope(r.GetHttp())
	if err != nil {
		return call{}, err
	}
	c := call{app: app, envelope: envelope, body: r.GetBody(), org: homeOf(callerOf(ctx), app.Org)}
	c.identity = newIdentity(callerOf(ctx), c.org, app.AppRef)
	return c, nil
}

// newIdentity names a call made by caller for org.
func newIdentity(c caller, org string, app store.AppRef) pod.Identity {
	return pod.Identity{
		ExecutionID:    store.NewExecutionID(),
		FunctionID:     app.String(),
		OrganizationID: c.Orgs[org],
		Attempt:        1,
	}
}

// homeOf is the organization that a caller of an app of org acts for: org where they belong to it, or else, for a
// public app, their own; empty if they have none.
func homeOf(c caller, org string) string {
	if c.In(org) == nil {
		return org
	}
	home, err := c.Home()
	if err != nil {
		return ""
	}
	return home
}

// dispatch calls a pod of the app and hands its answer to use. The whole takes no longer than the app's timeout and the
// cold-start budget together.
func (s *service) dispatch(ctx context.Context, c call, use func(*http.Response) error) error {
	timeout := timeoutOf(c.app.Config)
	limit := timeout + s.cfg.ColdStartBudget
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &pod.TimeoutError{Clock: pod.ClockTotal, Limit: limit})
	defer cancel()
	err := s.cfg.Dispatcher.Do(ctx, c.app.AppRef, int64(len(c.body)), func(t pod.Target) error {
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
		return use(response)
	})
	return appFailure(ctx, c.app.AppRef, err)
}

// appFailure keeps the log lines of a pod from callers who are not of its organization.
func appFailure(ctx context.Context, app store.AppRef, err error) error {
	if err == nil || callerOf(ctx).In(app.Org) == nil {
		return err
	}
	if start, ok := errors.AsType[*pod.StartError](err); ok {
		return newFault(codes.Unavailable, "a pod of app %s did not start: %s", app, start.Reason)
	}
	if _, ok := errors.AsType[*pod.ExitError](err); ok {
		return pod.ErrBroken
	}
	return err
}

// frames answers over gRPC: head, chunks, trailer.
type frames struct {
	stream grpc.ServerStreamingServer[ignitev1.InvokeResponse]
}

func (f *frames) head(id string, response *http.Response) error {
	return f.stream.Send(&ignitev1.InvokeResponse{Frame: &ignitev1.InvokeResponse_Head{Head: &ignitev1.InvokeHead{
		StatusCode:           uint32(response.StatusCode),
		ResponseHeaders:      joined(response.Header),
		ExecutionId:          id,
		ResponseHeaderFields: headerFields(response.Header),
	}}})
}

func (f *frames) body(response *http.Response) (total int64, err error) {
	for piece, err := range pieces(response) {
		if err != nil {
			return total, err
		}
		total += int64(len(piece))
		if err := f.chunk(piece); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *frames) chunk(data []byte) error {
	return f.stream.Send(&ignitev1.InvokeResponse{Frame: &ignitev1.InvokeResponse_Chunk{Chunk: &ignitev1.InvokeChunk{Data: data}}})
}

func (f *frames) trailer(total int64, took time.Duration, trailers http.Header) error {
	return f.stream.Send(&ignitev1.InvokeResponse{Frame: &ignitev1.InvokeResponse_Trailer{Trailer: &ignitev1.InvokeTrailer{
		TotalBodyBytes: total,
		DurationMs:     took.Milliseconds(),
		Trailers:       joined(trailers),
	}}})
}

// pieces reads a body to its end: one of unknown length as it comes, any other in as few pieces as frames may have. Each
// piece has memory of its own, for grpc-go may look at a message after it was sent.
func pieces(response *http.Response) iter.Seq2[[]byte, error] {
	switch {
	case response.Body == http.NoBody: // a HEAD has a length all the same
		return func(func([]byte, error) bool) {}
	case response.ContentLength < 0:
		return readPieces(response.Body)
	default:
		return fullPieces(response.Body, response.ContentLength)
	}
}

func readPieces(body io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buffer := make([]byte, readSize)
		for {
			n, err := body.Read(buffer)
			if n > 0 && !yield(bytes.Clone(buffer[:n]), nil) {
				return
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// fullPieces reads length bytes and not the end after them. A body that ends before is a pod.ErrBroken already.
func fullPieces(body io.Reader, length int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for length > 0 {
			piece := make([]byte, min(length, maxFrame))
			n, err := io.ReadFull(body, piece)
			length -= int64(n)
			if n > 0 && !yield(piece[:n], nil) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
