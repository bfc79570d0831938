package proxy_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/gateway/proxy"
)

// setup is a proxy between a server and its callers, who speak HTTP/1.1 or HTTP/2.
type setup struct {
	proxy *proxy.Proxy
	// front is where callers call.
	front string
	// ended gets the outcome of each call.
	ended chan ended
}

type ended struct {
	err    error
	status int
}

// start serves server behind a proxy; change alters calls.
func start(t testing.TB, server http.Handler, change ...func(*proxy.Call)) *setup {
	t.Helper()
	back := newServer(server)
	t.Cleanup(back.Close)
	return startTo(t, must(url.Parse(back.URL)).Host, change...)
}

// newServer speaks HTTP/1.1 and, in the clear, HTTP/2.
func newServer(handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.Start()
	return server
}

func startTo(t testing.TB, host string, change ...func(*proxy.Call)) *setup {
	t.Helper()
	s := &setup{proxy: proxy.New(), ended: make(chan ended, 100)}
	front := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := &proxy.Call{Host: host, Timeout: time.Minute}
		for _, c := range change {
			c(call)
		}
		err := s.proxy.Serve(w, r, call)
		select {
		case s.ended <- ended{err, call.Status}:
		default:
		}
		switch {
		case err != nil && call.Status == 0:
			http.Error(w, err.Error(), http.StatusBadGateway)
		case err != nil:
			panic(http.ErrAbortHandler)
		}
	}))
	s.front = front.URL
	t.Cleanup(func() {
		front.Close()
		s.proxy.Close()
	})
	return s
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// overHTTP2 is a client that speaks HTTP/2 in the clear.
func overHTTP2(t testing.TB) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func overHTTP1(t testing.TB) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// do makes a request and answers the whole answer.
func do(t testing.TB, client *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", r.Method, r.URL, err)
	}
	return response, string(body)
}

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	return must(http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body)))
}
