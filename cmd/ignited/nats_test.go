package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/stream/embed"
)

// natsOutside is a NATS server that every process of the machine can reach, as an installation of several processes has it.
type natsOutside struct {
	options embed.Options
	server  *embed.Server
	url     string
}

func startNATS(t *testing.T) *natsOutside {
	t.Helper()
	n := &natsOutside{options: embed.Options{StoreDir: t.TempDir(), ListenAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}}
	n.resume(t)
	n.options.ListenAddr = strings.TrimPrefix(n.url, "nats://") // where it is found again after a restart
	t.Cleanup(func() { n.stop(t) })
	return n
}

func (n *natsOutside) resume(t *testing.T) {
	t.Helper()
	server, err := embed.Open(t.Context(), n.options)
	if err != nil {
		t.Fatal(err)
	}
	n.server, n.url = server, server.URL()
}

func (n *natsOutside) stop(t *testing.T) {
	t.Helper()
	if n.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a cleanup comes after the end of t's own
	defer cancel()
	if err := n.server.Close(ctx); err != nil {
		t.Error(err)
	}
	n.server = nil
}

// Processes with data folders of their own are one installation when they share NATS: what one is told, all know.
func TestSharedNATS(t *testing.T) {
	t.Parallel()
	outside := startNATS(t)
	one := startServer(t, dataDir(t), "--nats-url", outside.url, "--drain-secs", "1")
	two := startServer(t, dataDir(t), "--nats-url", outside.url)
	for _, word := range []string{"nats runs outside", "server_version", "sync_interval: always"} {
		if !strings.Contains(one.logs.String(), word) {
			t.Errorf("the log of the start does not say %q:\n%s", word, one.logs)
		}
	}

	t.Run("an app published through one is served by the other at once", func(t *testing.T) {
		if answer := two.invoke(t, "probe", `{}`); answer.StatusCode != http.StatusNotFound {
			t.Errorf("before: %s", answer.Status)
		}
		one.deploy(t, "probe", procfileCode(probeArchive(t)), `"maxConcurrency":2,"scaling":{"maxReplicas":1}`)
		request := two.direct(t, http.MethodPost, "probe", "/echo", []byte("direct"))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if body := readAll(t, answer); answer.StatusCode != http.StatusOK || body != "direct" {
			t.Errorf("direct: %s %s", answer.Status, body)
		}
		if body := readAll(t, two.invoke(t, "probe", `{"http":{"path":"/echo"},"body":"aGk="}`)); body != "hi" {
			t.Errorf("invoke: %q", body)
		}
	})
	t.Run("what one took, the other follows", func(t *testing.T) {
		id := one.submit(t, "probe", `{"http":{"path":"/stream","query":"n=3&every=50ms"}}`)
		output, last := two.follow(t, id)
		if last["status"] != "EXECUTION_STATUS_COMPLETED" || output != "chunk 0\nchunk 1\nchunk 2\n" {
			t.Errorf("%q, %v", output, last)
		}
	})
	t.Run("what one publishes, the other serves", func(t *testing.T) { publishElsewhere(t, one, two) })
	t.Run("one is stopped, the other goes on with its work", func(t *testing.T) { stopOneOfTwo(t, one, two) })
}

// follow watches id to its end and answers the output that came as chunks, and the last record.
func (s *server) follow(t *testing.T, id string) (output string, last map[string]any) {
	t.Helper()
	answer, err := http.DefaultClient.Do(s.request(t, http.MethodGet, "/v1/ignite/executions/"+id+"/watch", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := json.NewDecoder(answer.Body)
	for {
		var frame struct {
			Execution   map[string]any
			OutputChunk []byte
		}
		switch err := lines.Decode(&frame); {
		case errors.Is(err, io.EOF):
			return output, last
		case err != nil:
			t.Fatal(err)
		}
		output += string(frame.OutputChunk)
		if frame.Execution != nil {
			last = frame.Execution
		}
	}
}

// publishElsewhere has two follow what one decides, a moment later.
func publishElsewhere(t *testing.T, one, two *server) {
	one.must(t, "/v1/ignite/app/acme-corp/probe/draft", `{"code":`+procfileCode(probeArchive(t))+`}`)
	one.must(t, "/v1/ignite/app/acme-corp/probe/draft/publish", `{}`)
	eventually(t, "version 2 serves", func() bool { return two.servingVersion(t, "probe") == 2 })
	one.must(t, "/v1/ignite/app/acme-corp/probe/rollback", `{"version":1}`)
	eventually(t, "version 1 serves again", func() bool { return two.servingVersion(t, "probe") == 1 })
}

// servingVersion is the one that answers a call.
func (s *server) servingVersion(t *testing.T, app string) float64 {
	t.Helper()
	execution := s.await(t, s.submit(t, app, `{}`))
	version, _ := execution["functionVersion"].(float64)
	return version
}

// stopOneOfTwo stops one while both have calls in their pods and more work waits.
func stopOneOfTwo(t *testing.T, one, two *server) {
	release := newGate(t)
	held := make([]string, 8)
	for i := range held {
		held[i] = one.submit(t, "probe", holdUntil(release.URL))
	}
	two.awaitHeld(t, "probe", 4) // a pod in each process has two
	one.stop(t)
	release.open()
	for _, id := range held {
		if execution := two.await(t, id); execution["status"] != "EXECUTION_STATUS_COMPLETED" || string(result(t, execution)) != "released" {
			t.Errorf("%v", execution)
		}
	}
}

// The work of a killed process is taken over by another, once NATS has waited for its acknowledgement long enough.
func TestWorkOfAKilledProcessIsTakenOver(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: NATS gives up a killed worker after 30 s")
	}
	t.Parallel()
	outside := startNATS(t)
	one := startServer(t, dataDir(t), "--nats-url", outside.url)
	one.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	release := newGate(t)
	id := one.submit(t, "probe", holdUntil(release.URL))
	one.awaitHeld(t, "probe", 1)
	two := startServer(t, dataDir(t), "--nats-url", outside.url)
	if execution := two.execution(t, id); execution["status"] != "EXECUTION_STATUS_RUNNING" {
		t.Fatalf("%v", execution)
	}
	one.kill()
	release.open()
	start := time.Now()
	execution := two.await(t, id)
	t.Logf("taken over and done after %v", time.Since(start))
	if execution["status"] != "EXECUTION_STATUS_COMPLETED" || string(result(t, execution)) != "released" || execution["attempt"] != float64(2) {
		t.Errorf("%v", execution)
	}
}

// While NATS is away callers are told so, and nothing that was promised is lost: what ran and what waited goes on.
func TestNATSIsRestarted(t *testing.T) {
	t.Parallel()
	outside := startNATS(t)
	s := startServer(t, dataDir(t), "--nats-url", outside.url)
	s.deploy(t, "probe", procfileCode(probeArchive(t)), `"maxConcurrency":1,"scaling":{"maxReplicas":1}`)
	release := newGate(t)
	held := []string{s.submit(t, "probe", holdUntil(release.URL)), s.submit(t, "probe", holdUntil(release.URL))} // one runs, one waits
	s.awaitHeld(t, "probe", 1)
	watching, err := http.DefaultClient.Do(s.request(t, http.MethodGet, "/v1/ignite/executions/"+held[0]+"/watch", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watching.Body.Close() }()

	outside.stop(t)
	s.awaitLog(t, "nats disconnected")
	callersAreTold(t, s, held[0])
	outside.resume(t)
	s.awaitLog(t, "nats reconnected")

	release.open()
	if seen := readAll(t, watching); !strings.Contains(seen, "EXECUTION_STATUS_COMPLETED") {
		t.Errorf("the watch from before saw %s", seen)
	}
	for _, id := range append(held, s.submit(t, "probe", holdUntil(release.URL))) {
		execution := s.await(t, id)
		if execution["status"] != "EXECUTION_STATUS_COMPLETED" || string(result(t, execution)) != "released" || execution["attempt"] != float64(1) {
			t.Errorf("%v", execution)
		}
	}
}

// callersAreTold makes calls that need NATS, all at once. A short absence is waited for, but not long.
func callersAreTold(t *testing.T, s *server, id string) {
	var calls sync.WaitGroup
	for name, c := range map[string]struct{ method, path, body string }{
		"submit": {"POST", "/v1/ignite/app/acme-corp/probe/invoke-async", `{}`},
		"read":   {"GET", "/v1/ignite/executions/" + id, ""},
		"watch":  {"GET", "/v1/ignite/executions/" + id + "/watch", ""},
		"create": {"POST", "/v1/ignite/app/acme-corp", `{"name":"other"}`},
		"look":   {"GET", "/v1/ignite/app/acme-corp/unknown", ""},
	} {
		calls.Go(func() {
			began := time.Now()
			answer, err := http.DefaultClient.Do(s.request(t, c.method, c.path, strings.NewReader(c.body)))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = answer.Body.Close() }()
			if body := readAll(t, answer); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "does not answer") {
				t.Errorf("%s: %s %s", name, answer.Status, body)
			}
			if took := time.Since(began); took > 12*time.Second {
				t.Errorf("%s: told after %v", name, took)
			}
		})
	}
	calls.Wait()
}

// A process whose NATS is gone, and stays gone, stops all the same, and as cleanly as with it.
func TestStopWithoutNATS(t *testing.T) {
	t.Parallel()
	outside := startNATS(t)
	s := startServer(t, dataDir(t), "--nats-url", outside.url, "--drain-secs", "1")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), `"maxConcurrency":2`)
	if answer := s.invoke(t, "probe", `{"http":{"path":"/echo"},"body":"aGk="}`); readAll(t, answer) != "hi" {
		t.Fatalf("invoke: %s", answer.Status)
	}
	s.submit(t, "probe", holdUntil("/never/open"))
	s.awaitHeld(t, "probe", 1)
	outside.stop(t)
	s.awaitLog(t, "nats disconnected")
	began := time.Now()
	s.stop(t)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
