package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"dodil.io/ignite/gateway/proxy"
)

// BenchmarkProxy compares with the standard library's, in the same run: POST of so many bytes, which come back.
func BenchmarkProxy(b *testing.B) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(body)
	}))
	defer back.Close()
	target := must(url.Parse(back.URL))
	ours := proxy.New()
	defer ours.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 200, DisableCompression: true}
	fronts := []struct {
		name    string
		handler http.Handler
	}{
		{"ours", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := ours.Serve(w, r, &proxy.Call{Host: target.Host, Timeout: time.Minute}); err != nil {
				b.Error(err)
			}
		})},
		{"ReverseProxy", &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		}}},
	}
	for _, size := range []int{0, 1 << 10, 1 << 20} {
		for _, f := range fronts {
			b.Run(fmt.Sprintf("%d/%s", size, f.name), func(b *testing.B) {
				front := httptest.NewServer(f.handler)
				defer front.Close()
				load(b, front.URL, size)
			})
		}
	}
}

// load makes calls from 32 callers.
func load(b *testing.B, url string, size int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	defer client.CloseIdleConnections()
	data := make([]byte, size)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := client.Post(url, "application/octet-stream", bytes.NewReader(data))
			if err != nil {
				b.Error(err)
				return
			}
			n, err := io.Copy(io.Discard, response.Body)
			if err != nil || n != int64(size) || response.Body.Close() != nil {
				b.Errorf("%d bytes of %d, %v", n, size, err)
			}
		}
	})
}
