package main

import (
	"net/http"
	"strings"
	"testing"
)

// The metrics of the process, of Go and of the engine are served together, without a token.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	answer, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body := readAll(t, answer)
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/plain") {
		t.Errorf("%s %s", answer.Status, kind)
	}
	for _, name := range []string{"go_goroutines ", "process_open_fds ", "process_resident_memory_bytes ", `ignite_reaped_total{kind="record_without_work"} 0`} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s is not in:\n%s", name, body)
		}
	}
}
