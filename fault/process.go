package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs, and whose end is known.
type Process struct {
	Started time.Time
	name    string
	log     string
	command *exec.Cmd
	exited  chan struct{}
}

// startProcess runs a program until the test ends at the latest. Its output is added to the file log.
func startProcess(t *testing.T, log string, environment []string, program string, args ...string) *Process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Started: time.Now(), name: filepath.Base(program), log: log, exited: make(chan struct{})}
	p.command = exec.Command(program, args...)
	p.command.Env = append(os.Environ(), environment...)
	p.command.Stdout, p.command.Stderr = out, out
	err = p.command.Start()
	_ = out.Close() // the process has its own
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process, which the cleanup ends
		_ = p.command.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Signal(syscall.SIGCONT) // one that is stopped would not die
		_ = p.command.Process.Kill()
		<-p.exited
	})
	return p
}

// Signal sends one to the process, which lives.
func (p *Process) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Fatalf("%v to %s: %v", signal, p.name, err)
	}
}

// Kill ends it as a crash would.
func (p *Process) Kill() {
	_ = p.command.Process.Kill()
	<-p.exited
}

// Exited is closed once it has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Killed reports whether SIGKILL ended it.
func (p *Process) Killed() bool {
	status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Stop tells it to end, and waits for that.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(90 * time.Second):
		p.Signal(t, syscall.SIGQUIT) // Go tells where all goroutines are
		<-p.exited
		t.Fatalf("%s does not stop:\n%s", p.name, p.Tail())
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %d:\n%s", p.name, code, p.Tail())
	}
}

// Tail is the end of what the process said.
func (p *Process) Tail() string {
	said, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 32 << 10
	return string(said[max(len(said)-most, 0):])
}

// checkLog fails the test for what the runtime or the race detector said, however the process ended.
func checkLog(t *testing.T, log string) {
	t.Helper()
	said, err := os.ReadFile(log)
	if err != nil {
		t.Error(err)
	}
	for _, word := range []string{"DATA RACE", "panic:", "panic in", "fatal error:"} {
		if at := strings.Index(string(said), word); at >= 0 {
			t.Errorf("the log has %q:\n%s", word, said[at:min(at+2<<10, len(said))])
		}
	}
}

// eventually asks every few milliseconds until it is so, and says what it waits for if it is not so in time.
func eventually(t *testing.T, limit time.Duration, what string, so func() error) {
	t.Helper()
	if err := until(limit, so); err != nil {
		t.Fatalf("waited %v in vain until %s: %v", limit, what, err)
	}
}

// until is for what cannot tell by itself that it has changed.
func until(limit time.Duration, so func() error) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := so()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-over.C:
			return err
		}
	}
}

// freeAddresses answers addresses of this machine where nobody listens. They are below the ports that Linux gives to whoever asks for any
// (32768 and up), and below those of pods (20000 and up): a server that is killed and started again needs the one it had, and an outgoing connection could have taken it.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	const lowest, highest = 10_000, 20_000
	addresses := make([]string, 0, n)
	for tries := 0; len(addresses) < n; tries++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowest+rand.IntN(highest-lowest)))
		listener, err := net.Listen("tcp", address)
		if err != nil && tries < 100 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		addresses = append(addresses, address)
	}
	return addresses
}

// listens is nil once somebody takes connections at the address.
func listens(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return errors.Unwrap(err)
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
