package gateway

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// serveGetExecution is GetExecution over HTTP: the same JSON, with an ETag. Under If-None-Match a record that the caller has is
// 304 without a body, and with wait it is waited for another one first.
func (g *Gateway) serveGetExecution(w http.ResponseWriter, r *http.Request) {
	const method = ignitev1.ComputeService_GetExecution_FullMethodName
	err := g.guard.run(r.Context(), method, r.Header.Get("Authorization"), func(ctx context.Context) error {
		request, err := readGet(r)
		if err != nil {
			return err
		}
		had, conditional := noneMatch(r.Header)
		asked := strings.Trim(request.GetEtag(), `"`)
		err = g.service.awaitNews(ctx, request, func(etag string) bool {
			return had(etag) || !conditional && (asked == "" || asked == etag)
		})
		if err != nil {
			return err
		}
		return g.service.writeLatest(ctx, w, request.GetExecutionId(), had)
	})
	answerError(w, err, false)
}

// writeLatest answers the record as it is, unless the caller had it already.
func (s *service) writeLatest(ctx context.Context, w http.ResponseWriter, id string, had func(etag string) bool) error {
	answer, err := s.latest(ctx, id)
	if err != nil {
		return err
	}
	w.Header().Set("Etag", strconv.Quote(answer.GetEtag()))
	w.Header().Set("Cache-Control", "private, no-cache")
	if had(answer.GetEtag()) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(w, answer)
}

// readGet reads what grpc-gateway would, and a wait of so many seconds, too.
func readGet(r *http.Request) (*ignitev1.GetExecutionRequest, error) {
	query := r.URL.Query()
	for i, wait := range query["wait"] {
		if seconds, err := strconv.ParseFloat(wait, 64); err == nil {
			query["wait"][i] = strconv.FormatFloat(seconds, 'f', -1, 64) + "s"
		}
	}
	request := &ignitev1.GetExecutionRequest{}
	if err := readQuery(request, query); err != nil {
		return nil, err
	}
	request.ExecutionId = r.PathValue("execution_id")
	return request, nil
}

// readQuery reads the fields of m from a query as grpc-gateway does.
func readQuery(m proto.Message, query url.Values) error {
	if err := runtime.PopulateQueryParameters(m, query, utilities.NewDoubleArray(nil)); err != nil {
		return badField("query", "cannot be read: %.200s", err)
	}
	return nil
}

// noneMatch reads If-None-Match: what the caller has, and whether they say so at all.
func noneMatch(header http.Header) (has func(etag string) bool, conditional bool) {
	var tags []string
	for _, line := range header["If-None-Match"] {
		for tag := range strings.SplitSeq(line, ",") {
			tags = append(tags, strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`))
		}
	}
	return func(etag string) bool { return slices.Contains(tags, etag) || slices.Contains(tags, "*") }, len(tags) > 0
}
