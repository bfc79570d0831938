package pod_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dodil.io/ignite/engine/pod"
)

// BenchmarkCall compares a call by Client with the same request by a bare transport.
func BenchmarkCall(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	b.Cleanup(server.Close)
	const body = "0123456789abcdef"
	b.Run("client", func(b *testing.B) {
		client, target := pod.NewClient(), targetOf(b, server.URL)
		defer client.Close()
		target.OutOfService = make(chan struct{})
		request := pod.Request{
			Envelope:      pod.Envelope{Path: "/a", Header: http.Header{"Content-Type": {"text/plain"}, "Accept": {"*/*"}}},
			Body:          strings.NewReader(body),
			ContentLength: int64(len(body)),
			Clocks:        pod.Clocks{Total: 1e11, Idle: 1e10, FirstByte: 1e10},
		}
		b.ReportAllocs()
		for b.Loop() {
			response, err := client.Do(b.Context(), target, request)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, response)
		}
	})
	b.Run("transport", func(b *testing.B) {
		transport := &http.Transport{DisableCompression: true}
		defer transport.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL+"/a", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, response)
		}
	})
}

func drain(b *testing.B, response *http.Response) {
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		b.Fatal(err)
	}
	response.Body.Close()
}
