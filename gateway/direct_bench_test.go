package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// BenchmarkDirect compares a direct call, authentication, routing and counting included, with Go's own ReverseProxy, which has none of them, and with
// the pod itself: 32 callers, 1 KiB there and back.
func BenchmarkDirect(b *testing.B) {
	s := startQuiet(b)
	ref := s.publish(b, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	pod := s.pods.apps[ref]
	plain := httptest.NewServer(&httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: pod.Scheme, Host: pod.Host})
			r.SetXForwarded()
		},
	})
	defer plain.Close()
	body := strings.Repeat("x", 1<<10)
	for _, way := range []struct{ name, address string }{
		{"pod", pod.Host}, {"ReverseProxy", plain.Listener.Addr().String()}, {"direct", s.api},
	} {
		b.Run(way.name, func(b *testing.B) {
			call := s.caller(b, "POST", way.address, "/", body, "hello-acme."+testDomain)
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
