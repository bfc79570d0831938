package fault

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	organization = "fault"
	// reapAfter is short, so that what a crash left behind is found while the test waits.
	reapAfter = 3 * time.Second
)

// Server is an ignited with a data folder and addresses that it keeps from one start to the next.
type Server struct {
	*Process // that runs now or ran last
	*Client

	programs   Programs
	dir, log   string
	http, grpc string
	// inspect is where the NATS server inside can be reached; empty if there is none.
	inspect string
	args    []string
}

// NewServer starts an ignited with NATS inside and waits until it is ready.
func NewServer(t *testing.T, p Programs, args ...string) *Server {
	t.Helper()
	s := newServer(t, p, args...)
	s.inspect = freeAddresses(t, 1)[0]
	s.args = append(s.args, "--nats-listen-addr", s.inspect)
	s.Start(t)
	return s
}

// NewServerAt starts an ignited that uses the NATS servers at urls.
func NewServerAt(t *testing.T, p Programs, urls string, args ...string) *Server {
	t.Helper()
	s := newServer(t, p, append(args, "--nats-url", urls)...)
	s.Start(t)
	return s
}

func newServer(t *testing.T, p Programs, args ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	addresses := freeAddresses(t, 2)
	s := &Server{programs: p, dir: filepath.Join(dir, "data"), log: filepath.Join(dir, "log"), http: addresses[0], grpc: addresses[1]}
	s.args = append([]string{
		"--data-dir", s.dir, "--http-listen-addr", s.http, "--api-listen-addr", s.grpc, "--drain-secs", "1", "--log-level", "debug",
		"--reap-after", reapAfter.String(), "--max-platform-failures", "100",
		"--sandbox", "off", // the app writes down its calls in a file of the test's
	}, args...)
	token, err := exec.Command(p.Ignited, "token", "--data-dir", s.dir, "--org", organization, "--ttl", "24h").Output()
	if err != nil {
		t.Fatalf("ignited token: %v", err)
	}
	if s.Client, err = dial(s.grpc, s.http, strings.TrimSpace(string(token))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		checkLog(t, s.log)
	})
	return s
}

// Start runs it on its folder, with more in its environment, and waits until it is ready.
func (s *Server) Start(t *testing.T, environment ...string) {
	t.Helper()
	s.Process = startProcess(t, s.log, append(environment, "GORACE=atexit_sleep_ms=10"), s.programs.Ignited, s.args...)
	eventually(t, time.Minute, "ignited is ready", func() error {
		select {
		case <-s.Exited():
			if len(environment) > 0 && s.Killed() {
				return nil // it met its boundary with what it found on its folder
			}
			t.Fatalf("ignited ended before it was ready:\n%s", s.Tail())
		default:
		}
		return s.ready()
	})
}

func (s *Server) ready() error {
	answer, err := http.Get("http://" + s.http + "/readyz")
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s", answer.Status)
	}
	return nil
}

// Inspect connects to the NATS server inside, and again after every start.
func (s *Server) Inspect(t *testing.T) *nats.Conn {
	t.Helper()
	return connect(t, "nats://"+s.inspect)
}

// Deploy publishes the pod as an app. calls is the file in which it writes down what it sees; empty is none.
func (s *Server) Deploy(t *testing.T, app, calls string) {
	t.Helper()
	if err := s.deploy(t.Context(), app, s.programs.App, map[string]string{"CALLS": calls}); err != nil {
		t.Fatalf("deploy %s: %v\n%s", app, err, s.Tail())
	}
	// The first call starts the pod, so that no other has to wait for it.
	if _, err := s.Submit(t.Context(), &ignitev1.InvokeRequest{OrganizationName: organization, AppName: app}); err != nil {
		t.Fatalf("first call of %s: %v\n%s", app, err, s.Tail())
	}
}

// Disk is what the data folder takes.
func (s *Server) Disk() (bytes int64) {
	_ = filepath.WalkDir(s.dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil // files come and go while it runs
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
