// Command hostile is an app that tries whatever it is asked to try, and says how far it came. It is also a small static HTTP server, whose
// start is measured.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	listener, err := listen()
	if err == nil {
		err = http.Serve(listener, handler())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") != "" {
		return net.FileListener(os.NewFile(3, "socket"))
	}
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Getenv("PORT")))
}

// handler answers 200 with what was gained, and 403 with the error of what failed.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	for name, try := range map[string]func(ask func(string) string) (string, error){
		"read": read, "list": list, "write": write, "open": open, "signal": signal, "processes": processes, "call": call, "clone": clone,
		"socket": socket, "dial": dial, "status": status, "memory": memory, "start": start, "burn": burn, "become": become, "run": run,
	} {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			gained, err := try(r.URL.Query().Get)
			if err != nil {
				w.WriteHeader(http.StatusForbidden)
				gained = err.Error()
			}
			fmt.Fprint(w, gained)
		})
	}
	return mux
}

func read(ask func(string) string) (string, error) {
	data, err := os.ReadFile(ask("path"))
	return string(data), err
}

func list(ask func(string) string) (string, error) {
	entries, err := os.ReadDir(ask("path"))
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, "\n"), err
}

func write(ask func(string) string) (string, error) {
	file, err := os.OpenFile(ask("path"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString("hostile")
	return "written", errors.Join(err, file.Close())
}

// open opens a file for writing and leaves it as it is.
func open(ask func(string) string) (string, error) {
	file, err := os.OpenFile(ask("path"), os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	return "opened", file.Close()
}

func signal(ask func(string) string) (string, error) {
	return "sent", syscall.Kill(number(ask("pid")), syscall.SIGKILL)
}

// processes lists the command lines that can be seen.
func processes(func(string) string) (string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	var seen []string
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil {
			seen = append(seen, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return strings.Join(seen, "\n"), err
}

// call makes a system call with arguments of which none can do harm.
func call(ask func(string) string) (string, error) {
	_, _, errno := syscall.RawSyscall6(uintptr(number(ask("number"))), 0, 0, 0, 0, 0, 0)
	if errno != 0 {
		return "", errno
	}
	return "done", nil
}

// clone starts a program in a new namespace.
func clone(ask func(string) string) (string, error) {
	cmd := exec.Command("/bin/sh", "-c", "exit 0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(number(ask("flags")))}
	return "done", cmd.Run()
}

func socket(ask func(string) string) (string, error) {
	fd, err := syscall.Socket(number(ask("family")), number(ask("type")), number(ask("protocol")))
	if err == nil {
		err = syscall.Close(fd)
	}
	return "opened", err
}

func dial(ask func(string) string) (string, error) {
	conn, err := net.DialTimeout(ask("network"), ask("address"), time.Second)
	if err == nil {
		err = conn.Close()
	}
	return "connected", err
}

func status(func(string) string) (string, error) {
	data, err := os.ReadFile("/proc/self/status")
	return string(data), err
}

// memory takes as many MB as it is asked to, and keeps them until it has all.
func memory(ask func(string) string) (string, error) {
	taken := make([][]byte, number(ask("mb")))
	for i := range taken {
		taken[i] = make([]byte, 1<<20)
		for at := 0; at < len(taken[i]); at += 4096 {
			taken[i][at] = 1
		}
	}
	return strconv.Itoa(len(taken)), nil
}

// start starts programs until it cannot, answers how many, and ends them.
func start(ask func(string) string) (string, error) {
	var started []*exec.Cmd
	var err error
	for range number(ask("count")) {
		cmd := exec.Command("/bin/sleep", "60")
		if err = cmd.Start(); err != nil {
			break
		}
		started = append(started, cmd)
	}
	for _, cmd := range started {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("%d were started: %w", len(started), err)
	}
	return strconv.Itoa(len(started)), nil
}

// burn keeps a processor busy for that much of its time.
func burn(ask func(string) string) (string, error) {
	var used syscall.Rusage
	for {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return "", err
		}
		if ms := (used.Utime.Nano() + used.Stime.Nano()) / 1e6; ms >= int64(number(ask("ms"))) {
			return strconv.FormatInt(ms, 10), nil
		}
	}
}

func become(ask func(string) string) (string, error) {
	return "done", errors.Join(syscall.Setgid(number(ask("user"))), syscall.Setuid(number(ask("user"))))
}

func run(ask func(string) string) (string, error) {
	output, err := exec.Command("/bin/sh", "-c", ask("line")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return string(output), nil
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}
