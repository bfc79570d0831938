package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Apps, versions, finished executions and waiting work are there after a restart on the same data folder, whether the server
// was stopped or killed, and the waiting work is done.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *server){
		"stopped": func(t *testing.T, s *server) { s.stop(t) },
		"killed":  func(_ *testing.T, s *server) { s.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, release := dataDir(t), newGate(t)
			s := startServer(t, dir, "--drain-secs", "1")
			s.deploy(t, "probe", procfileCode(probeArchive(t)), `"maxConcurrency":2,"scaling":{"maxReplicas":1}`)
			finished := s.submit(t, "probe", `{"http":{"path":"/echo"},"body":"b25l"}`)
			s.await(t, finished)
			held := make([]string, 5) // two in the pod, three waiting
			for i := range held {
				held[i] = s.submit(t, "probe", holdUntil(release.URL))
			}
			s.awaitHeld(t, "probe", 2)
			end(t, s)

			s = startServer(t, dir)
			if execution := s.execution(t, finished); string(result(t, execution)) != "one" {
				t.Errorf("the finished execution is %v", execution)
			}
			status, answer := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/probe/versions", "")
			if versions, _ := answer["versions"].([]any); status != http.StatusOK || len(versions) != 1 {
				t.Errorf("versions: %d %v", status, answer)
			}
			release.open()
			for _, id := range held {
				if execution := s.await(t, id); execution["status"] != "EXECUTION_STATUS_COMPLETED" || string(result(t, execution)) != "released" {
					t.Errorf("waiting work became %v", execution)
				}
			}
			s.stop(t)
		})
	}
}

// holdUntil is a request that the probe answers once the gate at address is open.
func holdUntil(address string) string {
	return fmt.Sprintf(`{"http":{"path":"/hold"},"body":%q}`, encode([]byte(address)))
}

// gate is something that pods can look at, also those that see nothing of the machine's files.
type gate struct {
	*httptest.Server
	opened atomic.Bool
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := new(gate)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !g.opened.Load() {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gate) open() { g.opened.Store(true) }

// A clean stop hands unfinished work back, stops the pods, and ends with 0.
func TestCleanStop(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s := startServer(t, dir, "--drain-secs", "1")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	pod := s.podPID(t, "probe")
	id := s.submit(t, "probe", holdUntil("/never/open"))
	s.awaitHeld(t, "probe", 1)
	s.stop(t)
	if err := syscall.Kill(pod, 0); err == nil {
		t.Error("the pod outlived the server")
	}
	s = startServer(t, dir, "--roles", "gateway")
	if execution := s.execution(t, id); execution["status"] != "EXECUTION_STATUS_PENDING" {
		t.Errorf("unfinished work was not handed back: %v", execution)
	}
}

// Being told to stop while it still starts is no failure.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	command := self("--data-dir", dataDir(t), "--http-listen-addr", "127.0.0.1:0", "--api-listen-addr", "127.0.0.1:0")
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var said strings.Builder
	for lines.Scan() {
		if said.Len() == 0 { // NATS runs, and what is kept in it is not open yet
			_ = command.Process.Signal(syscall.SIGTERM)
		}
		said.WriteString(lines.Text() + "\n")
	}
	if err := command.Wait(); err != nil || !strings.Contains(said.String(), "msg=stopped") {
		t.Errorf("ignited ended with %v:\n%s", err, said.String())
	}
}

// A second signal ends the server at once, and the pods with it.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--drain-secs", "3600")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	pod := s.podPID(t, "probe")
	s.submit(t, "probe", holdUntil("/never/open"))
	s.awaitHeld(t, "probe", 1)
	for range 2 {
		if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.awaitLog(t, "stopping")
	}
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		t.Fatalf("ignited drains on:\n%s", s.logs)
	}
	if s.command.ProcessState.Success() {
		t.Error("a cut drain must not look like a clean stop")
	}
	eventually(t, "the pod is gone", func() bool { return syscall.Kill(pod, 0) != nil })
}

// podPID asks the probe for its process id.
func (s *server) podPID(t *testing.T, app string) int {
	t.Helper()
	execution := s.await(t, s.submit(t, app, `{"http":{"path":"/pid"}}`))
	var pid int
	if _, err := fmt.Sscan(string(result(t, execution)), &pid); err != nil {
		t.Fatalf("%v: %v", err, execution)
	}
	return pid
}

// awaitLog waits for a word in the server's log.
func (s *server) awaitLog(t *testing.T, word string) {
	t.Helper()
	eventually(t, "the log says "+word, func() bool { return strings.Contains(s.logs.String(), word) })
}

// eventually looks every few milliseconds until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
