package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// serveInvoke is Invoke over HTTP: the pod's status and headers are the answer's, its body is passed on as it comes, and
// what the trailer frame holds are HTTP trailers. An answer without a body (204, 304, or to a caller of HTTP/1.0) has none. A pod that fails
// on the way shows as a connection that breaks off: then there are no trailers, and what came before is valid.
func (g *Gateway) serveInvoke(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_Invoke_FullMethodName
	out := &httpAnswer{w: w, flusher: http.NewResponseController(w)}
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		request, err := g.readInvoke(ctx, w, r, method)
		if err != nil {
			return err
		}
		return g.service.invoke(ctx, request, out)
	})
	answerError(w, err, out.begun)
}

// serveInvokeAsync is not left to grpc-gateway because it takes the same request with the same checks.
func (g *Gateway) serveInvokeAsync(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_InvokeAsync_FullMethodName
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		request, err := g.readInvoke(ctx, w, r, method)
		if err != nil {
			return err
		}
		accepted, err := g.service.InvokeAsync(ctx, request)
		if err != nil {
			return err
		}
		return writeJSON(w, accepted)
	})
	answerError(w, err, false)
}

// serveInvokeAsyncBatch takes its bodies under the same bound as serveInvokeAsync takes its one.
func (g *Gateway) serveInvokeAsyncBatch(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_InvokeAsyncBatch_FullMethodName
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		request := &ignitev1.InvokeAsyncBatchRequest{}
		org, app, err := g.readCall(ctx, w, r, method, request)
		if err != nil {
			return err
		}
		request.OrganizationName, request.AppName = org, app
		answer, err := g.service.submitBatch(ctx, request, r.Header[keyHeader])
		if err != nil {
			return err
		}
		return writeJSON(w, answer)
	})
	answerError(w, err, false)
}

// answerError answers err, which is a *fault or nil; after the head the one way left is to cut the connection.
func answerError(w http.ResponseWriter, err error, begun bool) {
	if err == nil {
		return
	}
	f, ok := errors.AsType[*fault](err)
	if !ok || begun {
		panic(http.ErrAbortHandler)
	}
	writeError(w, f)
}

// readInvoke reads an envelope.
func (g *Gateway) readInvoke(ctx context.Context, w http.ResponseWriter, r *http.Request, method string) (*ignitev1.InvokeRequest, error) {
	request := &ignitev1.InvokeRequest{}
	org, app, err := g.readCall(ctx, w, r, method, request)
	if err != nil {
		return nil, err
	}
	request.OrganizationName, request.AppName = org, app
	request.IdempotencyKey, err = agreedKey(request.GetIdempotencyKey(), r.Header[keyHeader])
	return request, err
}

// callMessage is a request to call an app.
type callMessage interface {
	proto.Message
	appMessage
}

// readCall reads a request to call the app of the path. The caller is asked who they are and whether they may before a byte of the body is
// read. Names in the body may be left out, and if not must be those of the path.
func (g *Gateway) readCall(ctx context.Context, w http.ResponseWriter, r *http.Request, method string, request callMessage) (org, app string, err error) {
	org, app = r.PathValue("organization_name"), r.PathValue("app_name")
	if err := g.guard.admit(ctx, method, &ignitev1.InvokeRequest{OrganizationName: org, AppName: app}); err != nil {
		return "", "", err
	}
	if f := limitBody(w, r, g.service.cfg.MaxPayloadBytes); f != nil {
		return "", "", f
	}
	if err := readJSON(r.Body, request); err != nil {
		return "", "", err
	}
	var v violations
	v.sameApp(request, org, app)
	return org, app, v.err()
}

// sameApp adds violations if m says something and it is another app.
func (v *violations) sameApp(m appMessage, org, app string) {
	v.same("organization_name", m.GetOrganizationName(), org)
	v.same("app_name", m.GetAppName(), app)
}

// same adds a violation if the body says something else than the place that names the app.
func (v *violations) same(field, body, named string) {
	if body != "" && body != named {
		v.add(field, "is %.64q, and the call is about %q", body, named)
	}
}

// Names of the trailers on Invoke over HTTP.
const (
	trailerTotal    = "total_body_bytes"
	trailerDuration = "duration_ms"
)

// httpAnswer answers over HTTP.
type httpAnswer struct {
	w       http.ResponseWriter
	flusher *http.ResponseController
	begun   bool
}

// head promotes the pod's status and headers. The length goes, because only a chunked body can have trailers.
func (a *httpAnswer) head(id string, response *http.Response) error {
	a.begun = true
	header := a.w.Header()
	dropHopByHop(response.Header)
	maps.Copy(header, response.Header)
	header.Del("Content-Length")
	header.Set(pod.HeaderExecutionID, id)
	header.Set("Trailer", trailerTotal+", "+trailerDuration)
	for _, name := range []string{"Date", "Content-Type"} {
		if len(header[name]) == 0 {
			header[name] = nil // or net/http makes one up
		}
	}
	a.w.WriteHeader(response.StatusCode)
	if response.ContentLength >= 0 {
		return nil // the body is about to come and takes the head with it
	}
	return left(a.flusher.Flush())
}

// readBuffers are shared because a call that moves small pieces needs one for its whole length.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// body passes each piece on as soon as it was read, so that no byte waits for the next.
func (a *httpAnswer) body(response *http.Response) (total int64, err error) {
	buffer := readBuffers.Get().(*[readSize]byte)
	defer readBuffers.Put(buffer)
	for {
		n, err := response.Body.Read(buffer[:])
		if n > 0 {
			total += int64(n)
			if err := a.piece(buffer[:n], err == io.EOF); err != nil {
				return total, err
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// piece writes; the last one is flushed with the trailers.
func (a *httpAnswer) piece(data []byte, last bool) error {
	if _, err := a.w.Write(data); err != nil || last {
		return left(err)
	}
	return left(a.flusher.Flush())
}

// trailer keeps the spelling of our names, which Header.Set would not.
func (a *httpAnswer) trailer(total int64, took time.Duration, trailers http.Header) error {
	header := a.w.Header()
	for name, values := range trailers {
		header[http.TrailerPrefix+name] = values
	}
	header[http.TrailerPrefix+trailerTotal] = []string{strconv.FormatInt(total, 10)}
	header[http.TrailerPrefix+trailerDuration] = []string{strconv.FormatInt(took.Milliseconds(), 10)}
	return nil
}
