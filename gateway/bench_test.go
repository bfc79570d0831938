package gateway_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// callers is how many call at once.
const callers = 64

// BenchmarkInvokeAsync accepts work of 256 bytes, each on disk before it is answered.
func BenchmarkInvokeAsync(b *testing.B) {
	s := startQuiet(b)
	s.publish(b, "acme", "hello", http.NotFoundHandler())
	body := make([]byte, 256)
	b.Run("gRPC", func(b *testing.B) {
		ctx := s.as(b, "acme")
		b.ReportAllocs()
		b.SetParallelism(callers / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.client.InvokeAsync(ctx, &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: body}); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	})
	b.Run("HTTP", func(b *testing.B) {
		call := s.caller(b, "POST", s.api, helloInvoke+"-async", string(must(marshal(&ignitev1.InvokeRequest{Body: body}))), "")
		b.ReportAllocs()
		b.SetParallelism(callers / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				call()
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	})
}

// caller answers a function that makes one HTTP request on connections that are kept.
func (s *setup) caller(b *testing.B, method, address, path, body, host string) func() {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	b.Cleanup(client.CloseIdleConnections)
	token := "Bearer " + s.token("acme")
	return func() {
		r := must(http.NewRequestWithContext(b.Context(), method, "http://"+address+path, strings.NewReader(body)))
		r.Header.Set("Authorization", token)
		r.Host = host
		response, err := client.Do(r)
		if err != nil {
			b.Error(err)
			return
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err != nil || response.Body.Close() != nil || response.StatusCode != 200 {
			b.Errorf("%s answers %d, %v", path, response.StatusCode, err)
		}
	}
}

// BenchmarkCall makes one call after the other, and beside them the same call straight to the pod.
func BenchmarkCall(b *testing.B) {
	s := startQuiet(b)
	ref := s.publish(b, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "hello") }))
	for name, call := range map[string]func(){
		"straight": s.caller(b, "GET", s.pods.apps[ref].Host, "/", "", ""),
		"direct":   s.caller(b, "GET", s.api, "/", "", "hello-acme."+testDomain),
		"invoke":   s.caller(b, "POST", s.api, helloInvoke, "{}", ""),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
