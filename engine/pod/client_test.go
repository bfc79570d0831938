package pod_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"dodil.io/ignite/engine/pod"
)

func TestAnswerIsPassedThrough(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	fmt.Fprint(zip, "hello")
	zip.Close()
	t.Run("redirect", func(t *testing.T) {
		t.Parallel()
		target := answering(t, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nConnection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\nhi", false)
		response, err := do(t, newClient(t), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != 302 || response.Header.Get("Location") != "/elsewhere" || len(response.Header) != 2 {
			t.Errorf("got %d %v", response.StatusCode, response.Header)
		}
	})
	t.Run("gzip", func(t *testing.T) {
		t.Parallel()
		target := answering(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), packed.Bytes()), false)
		response, err := do(t, newClient(t), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || !bytes.Equal(got, packed.Bytes()) || response.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("got %q, %v, %v", got, response.Header, err)
		}
	})
	t.Run("trailers", func(t *testing.T) {
		t.Parallel()
		target := answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", false)
		response, err := do(t, newClient(t), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || string(got) != "hi" || response.Trailer.Get("X-Sum") != "7" {
			t.Errorf("got %q, trailers %v, %v", got, response.Trailer, err)
		}
	})
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hi") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client, target := newClient(t), targetOf(t, server.URL)
	for range 10 {
		response, err := client.Do(t.Context(), target, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("10 calls took %d connections, want 1", got)
	}
}

func targetOf(t testing.TB, address string) pod.Target {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return pod.Target{Pod: "test", Addr: u}
}
