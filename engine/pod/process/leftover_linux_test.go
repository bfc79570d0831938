package process_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/engine/pod/process"
)

// A server that is killed takes its pods with it; what these had started is found by the next server.
func TestLeftoversOfAKilledServer(t *testing.T) {
	t.Parallel()
	for _, alone := range []string{"", "&alone"} {
		t.Run("child"+alone, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server, address := startServer(t, dir)
			mustNotOpen(t, dir)
			child := childOf(t, address, alone)
			if err := server.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = server.Wait() // says that it was killed
			awaitRefusal(t, address)
			if groups := process.Groups(open(t, dir)); len(groups) > 0 {
				t.Errorf("control groups are left: %q", groups)
			}
			mustBeGone(t, child)
			if homes, err := filepath.Glob(filepath.Join(dir, "pod-*")); err != nil || len(homes) > 0 {
				t.Errorf("homes are left: %q, %v", homes, err)
			}
		})
	}
}

func startServer(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(executable)
	server.Env = append(os.Environ(), serverVariable+"="+dir)
	server.Stderr = t.Output()
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return server, address[:len(address)-1]
}

// childOf makes the pod start a child and answers the connection that the child holds while it lives.
func childOf(t *testing.T, address, alone string) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	response, err := http.Get(address + "/child?lifeline=" + listener.Addr().String() + alone)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	child, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Close() })
	return child
}

// awaitRefusal returns when the pod itself is gone, which the parent-death signal sees to.
func awaitRefusal(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", address[len("http://"):])
		if err != nil {
			return
		}
		// The connection ends with the pod.
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	t.Fatal("the pod outlived its server")
}

func mustBeGone(t *testing.T, child net.Conn) {
	t.Helper()
	if err := child.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := child.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a child is still running")
	}
}

func mustNotOpen(t *testing.T, dir string) {
	t.Helper()
	second, err := process.New(process.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Open(t.Context()); err == nil {
		t.Error("a folder that is in use was opened")
	}
}

// A child that leaves the process group does not escape the end of its pod.
func TestChildThatLeavesTheGroup(t *testing.T) {
	t.Parallel()
	spec := program(t)
	spec.Env = podtest.ServingEnv()
	p, err := open(t, t.TempDir()).Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	child := childOf(t, p.Addr().String(), "&alone")
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustBeGone(t, child)
}

// A home whose process id now belongs to somebody else must not cost that one its life.
func TestLeftoverWhoseProcessIdIsReused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stranger := exec.Command("/bin/sh", "-c", "read line")
	input, err := stranger.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "pod-1")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf(`{"pid":%d,"started":"another boot/1"}`, stranger.Process.Pid)
	if err := os.WriteFile(filepath.Join(home, "process.json"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	fmt.Fprint(input, "end\n")
	if err := stranger.Wait(); err != nil {
		t.Errorf("the stranger ended with %v", err)
	}
}
