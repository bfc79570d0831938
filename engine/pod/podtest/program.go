package podtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The variables by which the suite tells RunProgram what to do.
const (
	behaviourVariable = "PODTEST_BEHAVIOUR"
	// lifelineVariable is an address to which the program keeps a connection for as long as it lives.
	lifelineVariable = "PODTEST_LIFELINE"
	// listenVariable is the address at which the program binds $PORT, 127.0.0.1 if it is not set.
	listenVariable = "PODTEST_LISTEN"
)

// everywhere is all addresses of a machine.
const everywhere = "0.0.0.0"

// What the program does.
const (
	serves      = "serves"
	exits       = "exits"
	hangs       = "hangs"
	ignoresTerm = "ignores TERM"
)

// exitCode is what the program exits with when it is to fail.
const exitCode = 3

// RunProgram is the program of the suite's pods. It does nothing in a process that is not one of them; else it answers the exit code.
func RunProgram() (code int, ran bool) {
	behaviour := os.Getenv(behaviourVariable)
	if behaviour == "" {
		return 0, false
	}
	if err := holdLifeline(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	switch behaviour {
	case exits:
		fmt.Fprintln(os.Stdout, "I begin")
		fmt.Fprintln(os.Stderr, "I give up")
		return exitCode, true
	case hangs:
		fmt.Fprintln(os.Stdout, "I hang")
		<-context.Background().Done()
	case ignoresTerm:
		signal.Ignore(syscall.SIGTERM)
	}
	return serve(), true
}

// holdLifeline connects to the test. The connection is closed by the end of the process and by nothing else.
func holdLifeline() error {
	address := os.Getenv(lifelineVariable)
	if address == "" {
		return nil
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return fmt.Errorf("hold lifeline: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	return nil
}

// serve answers until a call makes it end, with the exit code.
func serve() int {
	listener, err := listen()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "I serve")
	end := make(chan int)
	go func() { _ = http.Serve(listener, programHandler(end)) }() // ends with the process
	return <-end
}

// listen takes the socket that it was handed, or $PORT.
func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") == "" {
		return net.Listen("tcp", net.JoinHostPort(cmp.Or(os.Getenv(listenVariable), "127.0.0.1"), os.Getenv("PORT")))
	}
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("the socket is for process %s and I am %d", pid, os.Getpid())
	}
	return net.FileListener(os.NewFile(3, "socket"))
}

func programHandler(end chan<- int) http.Handler {
	mux := http.NewServeMux()
	released := make(chan struct{}, 1)
	var looked atomic.Int32
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/healthy-at-third-look", func(w http.ResponseWriter, _ *http.Request) {
		if looked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/looks", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, looked.Load()) })
	mux.HandleFunc("/never-healthy", http.NotFound)
	mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Join(os.Environ(), "\n")) })
	mux.HandleFunc("/folder", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, workingDirectory()) })
	mux.HandleFunc("/log", func(_ http.ResponseWriter, r *http.Request) { fmt.Fprintln(os.Stdout, r.URL.Query().Get("line")) })
	mux.HandleFunc("/crash", func(_ http.ResponseWriter, r *http.Request) {
		end <- exitCode
		<-r.Context().Done()
	})
	mux.HandleFunc("/child", startChild)
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "one")
		_ = http.NewResponseController(w).Flush()
		<-released
		fmt.Fprint(w, "two")
	})
	mux.HandleFunc("/read", readFile)
	mux.HandleFunc("/write", writeFile)
	mux.HandleFunc("/dial", dial)
	mux.HandleFunc("/allocate", allocate)
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { released <- struct{}{} })
	return mux
}

// readFile, writeFile and dial say what came of it: tests of confinement ask for what must fail.
func readFile(w http.ResponseWriter, r *http.Request) {
	content, err := os.ReadFile(r.URL.Query().Get("file"))
	if err != nil {
		content = []byte(err.Error())
	}
	_, _ = w.Write(content)
}

func writeFile(w http.ResponseWriter, r *http.Request) {
	if err := os.WriteFile(r.URL.Query().Get("file"), []byte("x"), 0o600); err != nil {
		fmt.Fprint(w, err)
		return
	}
	fmt.Fprint(w, "written")
}

func dial(w http.ResponseWriter, r *http.Request) {
	conn, err := net.DialTimeout("tcp", r.URL.Query().Get("address"), time.Second)
	if err != nil {
		fmt.Fprint(w, err)
		return
	}
	defer conn.Close()
	fmt.Fprint(w, "connected")
}

// allocate takes memory and uses it, since what is not used is not counted.
func allocate(w http.ResponseWriter, r *http.Request) {
	megabytes, err := strconv.Atoi(r.URL.Query().Get("mb"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, len(bytes.Repeat([]byte{1}, megabytes<<20)))
}

func workingDirectory() string {
	dir, err := os.Getwd()
	if err != nil {
		return err.Error()
	}
	return dir
}

// startChild starts this program again as one that hangs, holding a lifeline to the address asked for; "alone" makes it leave the process group.
func startChild(w http.ResponseWriter, r *http.Request) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), behaviourVariable+"="+hangs, lifelineVariable+"="+r.URL.Query().Get("lifeline"))
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: r.URL.Query().Has("alone")}
	if err := child.Start(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// ServingEnv is the environment in which RunProgram serves. For tests of a driver beside the suite.
func ServingEnv() map[string]string { return map[string]string{behaviourVariable: serves} }

// ServingEverywhereEnv is ServingEnv for a pod with addresses of its own.
func ServingEverywhereEnv() map[string]string {
	return map[string]string{behaviourVariable: serves, listenVariable: everywhere}
}
