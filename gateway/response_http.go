package gateway

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// headerExecutionStatus tells a pod's answer, which has it, from an error of ours, which has not.
const headerExecutionStatus = "X-Ignite-Execution-Status"

// serveResponse is FetchResponse over HTTP: an answer with the pod's status, headers, body and trailers. Of a 200, parts can be asked for,
// and whether it is another; it never is.
//
// It is an app's content under the name of the API, and a browser must not let it act for the API: see responseHeader.
func (g *Gateway) serveResponse(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_FetchResponse_FullMethodName
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		record, body, err := g.service.response(ctx, r.PathValue("execution_id"))
		if err != nil {
			return err
		}
		if record.ResponseStatus < http.StatusOK {
			return newFault(codes.FailedPrecondition, "the app answered %d, which no HTTP answer can say: GetExecution has the rest of it", record.ResponseStatus)
		}
		maps.Copy(w.Header(), responseHeader(record))
		if record.ResponseStatus != http.StatusOK {
			return writeWhole(w, record, body)
		}
		writeRanges(w, r, record, body)
		return nil
	})
	answerError(w, err, false)
}

// notPassedOn are headers of an answer that stay in the record. They speak to a browser about all of the API's origin, to caches about who else
// may have the answer, or about the moment when the pod gave it.
var notPassedOn = []string{
	"Accept-Ch", "Activate-Storage-Access", "Alt-Svc", "Clear-Site-Data", "Content-Security-Policy", "Content-Security-Policy-Report-Only",
	"Critical-Ch", "Expect-Ct", "Nel", "Origin-Agent-Cluster", "Public-Key-Pins", "Public-Key-Pins-Report-Only", "Refresh", "Report-To",
	"Reporting-Endpoints", "Service-Worker-Allowed", "Set-Cookie", "Set-Cookie2", "Set-Login", "Speculation-Rules", "Strict-Transport-Security",
	"Www-Authenticate",

	"Age", "Cache-Control", "Cdn-Cache-Control", "Expires", "Pragma", "Surrogate-Control",

	"Accept-Ranges", "Content-Length", "Date",
}

// responseHeader are the headers of the answer that are about the answer, and ours: a browser that shows it runs no script in it, loads nothing
// for it, and takes it for a page of nowhere; it is what its Content-Type says and nothing else; nobody but the caller keeps it.
func responseHeader(record store.Execution) http.Header {
	header := passedOn(record.ResponseHeader)
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "private, no-cache")
	if header.Get("Etag") == "" {
		header.Set("Etag", strconv.Quote(record.ID))
	}
	if len(header["Content-Type"]) == 0 {
		header["Content-Type"] = nil // or net/http makes one up
	}
	header.Set(pod.HeaderExecutionID, record.ID)
	header.Set(headerExecutionStatus, toPublic(executionStatuses, record.Status).String())
	return header
}

func passedOn(all http.Header) http.Header {
	header := make(http.Header, len(all))
	maps.Copy(header, all)
	dropHopByHop(header)
	for _, name := range notPassedOn {
		header.Del(name)
	}
	maps.DeleteFunc(header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Access-Control-") })
	return header
}

// writeWhole writes an answer of which there are no parts.
func writeWhole(w http.ResponseWriter, record store.Execution, body []byte) error {
	trailers := passedOn(record.ResponseTrailer)
	switch {
	case len(body) > 0 && len(trailers) > 0:
		announce(w.Header(), trailers)
	case len(body) > 0:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(record.ResponseStatus)
	if len(body) == 0 {
		return nil // 204 and 304 may have none
	}
	_, err := w.Write(body)
	addTrailers(w.Header(), trailers)
	return left(err)
}

// writeRanges writes an answer, or the parts of it that r asks for.
func writeRanges(w http.ResponseWriter, r *http.Request, record store.Execution, body []byte) {
	// Without one the time is zero, which stands for none.
	changed, _ := http.ParseTime(w.Header().Get("Last-Modified"))
	out := &rangeWriter{ResponseWriter: w, trailers: passedOn(record.ResponseTrailer)}
	http.ServeContent(out, r, "", changed, bytes.NewReader(body))
	if out.status == http.StatusOK {
		addTrailers(w.Header(), out.trailers)
	}
}

// rangeWriter makes of what http.ServeContent writes what this API answers: an error of ours has our form, and a whole answer its trailers.
type rangeWriter struct {
	http.ResponseWriter
	trailers http.Header
	status   int
}

func (w *rangeWriter) WriteHeader(status int) {
	w.status = status
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		w.refuse(codes.OutOfRange, "the answer has no such range of bytes")
	case http.StatusPreconditionFailed:
		w.refuse(codes.FailedPrecondition, "the answer is another than the one that If-Match or If-Unmodified-Since is about")
	case http.StatusOK:
		if len(w.trailers) > 0 {
			w.Header().Del("Content-Length")
			announce(w.Header(), w.trailers)
		}
		w.ResponseWriter.WriteHeader(status)
	default:
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *rangeWriter) Write(data []byte) (int, error) {
	if w.refused() {
		return len(data), nil // the text of http.ServeContent
	}
	return w.ResponseWriter.Write(data)
}

func (w *rangeWriter) refused() bool {
	return w.status == http.StatusRequestedRangeNotSatisfiable || w.status == http.StatusPreconditionFailed
}

// refuse answers an error without what the pod said.
func (w *rangeWriter) refuse(code codes.Code, text string) {
	maps.DeleteFunc(w.Header(), func(name string, _ []string) bool { return name != "Content-Range" && name != requestIDHeader })
	f := newFault(code, "%s", text)
	f.http = w.status
	writeError(w.ResponseWriter, f)
}

// announce says which trailers follow; that makes the answer a chunked one, which alone can have any.
func announce(header, trailers http.Header) {
	header.Set("Trailer", strings.Join(sortedKeys(trailers), ", "))
}

func addTrailers(header, trailers http.Header) {
	for name, values := range trailers {
		header[http.TrailerPrefix+name] = values
	}
}
