package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// serveCompileLogs is StreamCompileLogs over HTTP: one JSON object a line, each sent at once, with errors and heartbeats as serveWatch has them.
func (g *Gateway) serveCompileLogs(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_StreamCompileLogs_FullMethodName
	out := &watchAnswer{w: w, flusher: http.NewResponseController(w), form: jsonLines{}}
	out.pulse.beat = func() error { return out.flush(out.form.heartbeat()) }
	defer out.pulse.stop()
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		request := &ignitev1.StreamCompileLogsRequest{DeployId: r.PathValue("deploy_id")}
		send := func(m *ignitev1.StreamCompileLogsResponse) error {
			text, err := encoding.Marshal(m)
			if err != nil {
				return fmt.Errorf("encode a line: %w", err)
			}
			return out.write(append(text, '\n'))
		}
		// It begins before the first line: a compiler may be silent for long.
		return g.service.compileLogs(ctx, request, out.begin, send)
	})
	f, failed := errors.AsType[*fault](err)
	switch {
	case !failed:
	case out.begun:
		out.failed(f)
	default:
		writeError(w, f)
	}
}
