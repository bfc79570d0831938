package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestStream(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newHandler(time.Millisecond))
	t.Cleanup(server.Close)
	const three = "chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n"
	cases := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"in the body", "POST", "/", `{"chunks": 3}`, 200, three},
		{"in the query", "POST", "/?chunks=3", "", 200, three},
		{"nowhere", "POST", "/", "", 200, "chunk 10 of 10\n"},
		{"not JSON", "POST", "/", "three", 400, "the body is not of the form"},
		{"not a number", "POST", "/?chunks=three", "", 400, `"three" is not a number`},
		{"too few", "POST", "/?chunks=0", "", 400, "0 is not between 1 and 10000"},
		{"too many", "POST", "/", `{"chunks": 10001}`, 400, "10001 is not between 1 and 10000"},
		{"about", "GET", "/", "", 200, "POST / streams a line"},
		{"health", "GET", "/healthz", "", 200, "ok"},
		{"elsewhere", "POST", "/other", "", 404, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequest(c.method, server.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != c.status || !strings.Contains(string(body), c.want) {
				t.Errorf("got %d %q, %v; want %d %q", response.StatusCode, body, err, c.status, c.want)
			}
		})
	}
}

// The pause is longer than any test runs, so what is read was sent before it.
func TestEachChunkLeavesAtOnce(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	streaming := newHandler(time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		streaming.ServeHTTP(w, r)
		close(left)
	}))
	t.Cleanup(server.Close)
	response, err := http.Post(server.URL, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || line != "chunk 1 of 10\n" {
		t.Errorf("got %q, %v", line, err)
	}
	response.Body.Close()
	<-left // A caller who leaves ends the answer, and does not wait for an hour.
}

func TestServeFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener) }()
	response, err := http.Post("http://"+listener.Addr().String()+"/?chunks=3", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stop()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasSuffix(string(body), "chunk 3 of 3\n") {
		t.Errorf("got %q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
