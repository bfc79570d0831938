package python

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
	"dodil.io/ignite/store"
)

// serverVariable makes this test's binary a server that starts pods in the folder it names, and is then killed.
const serverVariable = "PYTHON_TEST_SERVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverVariable); dir != "" {
		if err := runServer(context.Background(), dir); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

// runServer starts pods until one is forked, prints the address of that, and waits to be killed.
func runServer(ctx context.Context, dir string) error {
	driver, err := process.New(process.Options{Dir: filepath.Join(dir, "pods")})
	if err != nil {
		return err
	}
	if err := driver.Open(ctx); err != nil {
		return err
	}
	code := filepath.Join(dir, "code")
	launch, err := New(filepath.Join(dir, "runtime")).Launch(ctx, code, store.Version{})
	if err != nil {
		return err
	}
	for {
		p, err := driver.Start(ctx, pod.Spec{
			Name: "app-1-left", Dir: code, Command: launch.Command, ReadOnly: launch.ReadOnly, Env: launch.Env, Template: launch.Template,
			SocketActivation: true, HealthPath: launch.HealthPath,
		})
		if err != nil {
			return err
		}
		if isForked(p) {
			fmt.Fprintln(os.Stdout, p.Addr().Host)
			<-p.Done()
			return p.Err()
		}
		if err := p.Stop(ctx); err != nil {
			return err
		}
	}
}

// isForked asks a pod of handlerThatTells.
func isForked(p pod.Pod) bool {
	response, err := http.Post(p.Addr().String(), "", nil)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && string(body) == "forked"
}

// A server that is killed takes its template with it, and that its pods.
func TestPodsOfAKilledServer(t *testing.T) {
	t.Parallel()
	dir := codeIn(t, map[string]string{"code/handler.py": handlerThatTells})
	server, addr := startServer(t, dir)
	pods := filepath.Join(dir, "pods")
	ids := recorded(t, pods)
	if len(ids) != 2 {
		t.Fatalf("a template and a pod are recorded as %v", ids)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait() // says that it was killed
	awaitRefusal(t, addr)
	openDriver(t, pods, process.SandboxAuto, t.Output())
	for _, id := range ids {
		if isAlive(t, id) {
			t.Errorf("process %d outlived its server", id)
		}
	}
	if left := recorded(t, pods); len(left) > 0 {
		t.Errorf("records are left of %v", left)
	}
}

func startServer(t *testing.T, dir string) (server *exec.Cmd, addr string) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server = exec.CommandContext(context.Background(), executable)
	server.Env = append(os.Environ(), serverVariable+"="+dir)
	server.Stderr = t.Output()
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return server, strings.TrimSpace(line)
}

// isAlive is false for one that has exited and was not reaped yet.
func isAlive(t testing.TB, id int) bool {
	t.Helper()
	if errors.Is(unix.Kill(id, 0), unix.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
