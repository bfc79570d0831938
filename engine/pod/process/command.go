package process

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dodil.io/ignite/engine/pod"
)

const (
	// defaultPath is for a server that has no PATH of its own.
	defaultPath = "/usr/local/bin:/usr/bin:/bin"
	// pipeDelay is how long the output of a program that has exited may be held open by what it left behind.
	pipeDelay = 500 * time.Millisecond
	// announce tells a program that descriptor 3 is for it. The protocol wants its process id, which only the process itself can know.
	announce = `LISTEN_PID=$$; export LISTEN_PID; exec "$@"`
)

// command is what runs spec: argument by argument, with the code as working directory and an environment of its own.
func command(spec pod.Spec, c *confinement, port int, socket *os.File) (*exec.Cmd, error) {
	program, err := lookUp(spec)
	if err != nil {
		return nil, err
	}
	env, err := environment(spec, c, port)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, spec.Command[1:]...)
	switch {
	case socket != nil && c.isInit():
		env = append(env, "LISTEN_PID=1")
	case socket != nil:
		cmd = exec.Command("/bin/sh", slices.Concat([]string{"-c", announce, "sh", program}, spec.Command[1:])...)
	}
	if socket != nil {
		cmd.ExtraFiles = []*os.File{socket}
	}
	cmd.Dir = spec.Dir
	cmd.Env = env
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = c.attributes()
	return cmd, nil
}

// lookUp finds the program before anything is started, so that a missing one is told apart from one that fails.
func lookUp(spec pod.Spec) (string, error) {
	if len(spec.Command) == 0 {
		return "", errors.New("no command is given")
	}
	if _, err := os.Stat(spec.Dir); err != nil {
		return "", fmt.Errorf("code folder: %w", err)
	}
	name := spec.Command[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(spec.Dir, name)
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", spec.Command[0], errors.Unwrap(err))
	}
	return program, nil
}

// environment is what the app asks for, under what the driver promises.
func environment(spec pod.Spec, c *confinement, port int) ([]string, error) {
	all := map[string]string{"PATH": searchPath(), "LANG": "C.UTF-8"}
	maps.Copy(all, spec.Env)
	all["HOME"], all["TMPDIR"], all["PORT"] = c.homeDir(), c.tempDir(), strconv.Itoa(port)
	delete(all, "LISTEN_PID")
	delete(all, "LISTEN_FDNAMES")
	delete(all, "LISTEN_FDS")
	if spec.SocketActivation {
		all["LISTEN_FDS"] = "1"
	}
	var env []string
	for name, value := range all {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, fmt.Errorf("environment variable %q cannot be set", name)
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// searchPath is what pods have as PATH.
func searchPath() string { return cmp.Or(os.Getenv("PATH"), defaultPath) }

// socket makes the listening socket that a pod is handed, and answers its port.
func socket() (*os.File, int, error) {
	listener, err := net.Listen("tcp4", hostPort(0))
	if err != nil {
		return nil, 0, err
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, 0, err
	}
	// Descriptors share the mode with their copies, and a program that just accepts expects to wait.
	if err := syscall.SetNonblock(int(file.Fd()), false); err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("set socket to blocking: %w", err)
	}
	return file, listener.Addr().(*net.TCPAddr).Port, nil
}
