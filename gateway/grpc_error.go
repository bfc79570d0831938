package gateway

import (
	"net/http"
	"net/url"
	"strconv"
)

// writeGRPCError answers a caller of an app that speaks gRPC: an answer of trailers alone.
func writeGRPCError(w http.ResponseWriter, f *fault) {
	header := w.Header()
	header.Set("Content-Type", "application/grpc")
	header.Set("Grpc-Status", strconv.Itoa(int(f.code)))
	header.Set("Grpc-Message", url.PathEscape(f.message))
	w.WriteHeader(http.StatusOK)
}
