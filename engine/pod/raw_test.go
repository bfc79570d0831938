package pod_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dodil.io/ignite/engine/pod"
)

// rawPod accepts TCP connections and hands each to serve, so a test sees and sends bytes.
func rawPod(t *testing.T, serve func(net.Conn)) pod.Target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(t.Context(), func() { conn.Close() })()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return pod.Target{Pod: "raw", Addr: &url.URL{Scheme: "http", Host: listener.Addr().String()}}
}

// readRequest takes one request off the connection and answers its head, line by line, and its body.
// The head is nil when the connection ended before that.
func readRequest(in *bufio.Reader) (head []string, body string) {
	length := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, ""
		}
		line = strings.TrimSuffix(line, "\r\n")
		if line == "" {
			break
		}
		head = append(head, line)
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(value)
		}
	}
	content := make([]byte, length)
	if _, err := io.ReadFull(in, content); err != nil {
		return nil, ""
	}
	return head, string(content)
}

// answering is a pod that reads each request and then writes answer as it is; with hangUp it closes after the first.
func answering(t *testing.T, answer string, hangUp bool) pod.Target {
	return rawPod(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			if head, _ := readRequest(in); head == nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil || hangUp {
				return
			}
		}
	})
}

func newClient(t *testing.T) *pod.Client {
	t.Helper()
	client := pod.NewClient()
	t.Cleanup(client.Close)
	return client
}

func do(t *testing.T, client *pod.Client, target pod.Target, r pod.Request) (*http.Response, error) {
	t.Helper()
	response, err := client.Do(t.Context(), target, r)
	if err == nil {
		t.Cleanup(func() { response.Body.Close() })
	}
	return response, err
}

func get(path string) pod.Request {
	return pod.Request{Envelope: pod.Envelope{Method: "GET", Path: path}}
}

// seen makes one call and answers what a pod read.
func seen(t *testing.T, r pod.Request) (head []string, body string) {
	t.Helper()
	type request struct {
		head []string
		body string
	}
	requests := make(chan request, 1)
	target := rawPod(t, func(conn net.Conn) {
		head, body := readRequest(bufio.NewReader(conn))
		requests <- request{head, body}
		fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	response, err := newClient(t).Do(context.Background(), target, r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	got := <-requests
	return got.head, got.body
}
