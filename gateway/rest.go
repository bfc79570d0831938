package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// jsonSlack is what a JSON request may hold beside the bytes that are limited.
const jsonSlack = 1 << 20

// newHTTP answers everything on the HTTP listener:
//
//	host of an app? ──► direct
//	│ no
//	▼
//	outermost ── name and panics ──► /healthz /readyz /metrics /openapi.json
//	                         invoke, invoke-async, an execution, its response, its watch, a compiler's lines: handlers of ours
//	                         all other of /v1: grpc-gateway ──► inProcess ──► service
func (g *Gateway) newHTTP() (http.Handler, error) {
	api, err := g.newTranscoder()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", g.serveHealth)
	mux.HandleFunc("GET /readyz", g.serveReadiness)
	mux.HandleFunc("GET /openapi.json", g.serveOpenAPI)
	if g.service.cfg.Metrics != nil {
		mux.Handle("GET /metrics", g.service.cfg.Metrics)
	}
	mux.HandleFunc("POST /v1/ignite/app/{organization_name}/{app_name}/invoke", g.serveInvoke)
	mux.HandleFunc("POST /v1/ignite/app/{organization_name}/{app_name}/invoke-async", g.serveInvokeAsync)
	mux.HandleFunc("POST /v1/ignite/app/{organization_name}/{app_name}/invoke-async/batch", g.serveInvokeAsyncBatch)
	mux.HandleFunc("GET /v1/ignite/executions/{execution_id}", g.serveGetExecution)
	mux.HandleFunc("GET /v1/ignite/executions/{execution_id}/response", g.serveResponse)
	mux.HandleFunc("GET /v1/ignite/executions/{execution_id}/watch", g.serveWatch)
	mux.HandleFunc("GET /v1/ignite/compile/{deploy_id}/logs", g.serveCompileLogs)
	mux.HandleFunc("GET /v1/ignite/app/{organization_name}/{app_name}/usage", g.serveUsage)
	mux.HandleFunc("GET /v1/ignite/usage", g.serveUsages)
	mux.Handle("/", limited(g.service.cfg.MaxCodeBytes, g.guard.bodiesNeedToken(api)))
	return g.splitByHost(g.guard.outermost(mux)), nil
}

// splitByHost sends what is for an app to it, and the rest to the API. While the server stops it sends nothing anywhere.
func (g *Gateway) splitByHost(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.stopping.Load() && !isProbe(r) {
			w.Header().Set("Connection", "close")
			writeError(w, g.guard.fault(r.Context(), r.URL.Path, errStopping))
			return
		}
		if label, ok := hostLabel(r.Host, g.service.cfg.BaseDomain); ok {
			g.serveDirect(w, r, label)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// isProbe reports whether r asks for the server's own health, which it says until the end.
func isProbe(r *http.Request) bool {
	return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || r.URL.Path == "/metrics"
}

// newTranscoder is grpc-gateway over the service in this process.
func (g *Gateway) newTranscoder() (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newJSONMarshaler()),
		runtime.WithErrorHandler(g.transcoderError),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithIncomingHeaderMatcher(noHeaders),
		runtime.WithOutgoingHeaderMatcher(noHeaders),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	client := ignitev1.NewComputeServiceClient(newInProcess(g.service, g.guard.unary))
	if err := ignitev1.RegisterComputeServiceHandlerClient(context.Background(), mux, client); err != nil {
		return nil, fmt.Errorf("register the HTTP routes: %w", err)
	}
	return mux, nil
}

// noHeaders passes no header on; grpc-gateway hands over Authorization whatever this says.
func noHeaders(string) (string, bool) { return "", false }

// transcoderError answers what a method failed with, or why its request could not be read.
func (g *Gateway) transcoderError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if body, ok := r.Body.(*requestBody); ok && body.err != nil {
		err = body.err
	}
	writeError(w, g.guard.fault(ctx, r.URL.Path, err))
}

// routingError answers a path or a method that there is none of.
func routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	switch httpStatus {
	case http.StatusNotFound:
		writeError(w, newFault(codes.NotFound, "there is nothing at this path; /openapi.json lists what there is"))
	case http.StatusMethodNotAllowed:
		f := newFault(codes.Unimplemented, "%s is not a method of this path; /openapi.json lists what there is", r.Method)
		f.http = http.StatusMethodNotAllowed
		writeError(w, f)
	default:
		writeError(w, newFault(codes.InvalidArgument, "the path cannot be read"))
	}
}

// base64Limit is how long a JSON body with so many bytes in it may be.
func base64Limit(n int64) int64 { return int64(base64.StdEncoding.EncodedLen(int(n))) + jsonSlack }

// limited refuses a JSON body with more than limit bytes in it: by its header before it is read, else as soon as it is too long.
func limited(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := limitBody(w, r, limit); err != nil {
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limitBody allows for base64 and the JSON around it. The error names limit itself, which is what people set.
func limitBody(w http.ResponseWriter, r *http.Request, limit int64) *fault {
	if r.ContentLength > base64Limit(limit) {
		return tooLarge("the request body", limit)
	}
	r.Body = &requestBody{ReadCloser: http.MaxBytesReader(w, r.Body, base64Limit(limit)), length: r.ContentLength, limit: limit}
	return nil
}

func (g *Gateway) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeWord(w, http.StatusOK, "ok")
}

// serveReadiness answers 503 while nothing can be accepted here, so that callers are sent elsewhere.
func (g *Gateway) serveReadiness(w http.ResponseWriter, r *http.Request) {
	if g.stopping.Load() {
		writeWord(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	if err := g.service.cfg.Ready(); err != nil {
		g.service.log.DebugContext(r.Context(), "not ready", slog.Any("error", err))
		writeWord(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	writeWord(w, http.StatusOK, "ok")
}

func writeWord(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(word + "\n")) // a prober who left needs no answer
}

func (g *Gateway) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(g.service.cfg.OpenAPI) // a reader who left needs no answer
}
