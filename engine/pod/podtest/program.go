package podtest

import (
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
	"syscall"
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
	go func() { _ = http.Serve(listener, handler(process{end})) }() // ends with the process
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

// process is the world of a program that is one.
type process struct{ end chan<- int }

func (process) environment() []string { return os.Environ() }

func (process) folder() string {
	dir, err := os.Getwd()
	if err != nil {
		return err.Error()
	}
	return dir
}

func (process) print(line string) { fmt.Fprintln(os.Stdout, line) }

func (p process) crash() { p.end <- exitCode }

// child starts this program again as one that hangs.
func (process) child(lifeline string, alone bool) error {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), behaviourVariable+"="+hangs, lifelineVariable+"="+lifeline)
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: alone}
	return child.Start()
}

// ServingEnv is the environment in which RunProgram serves. For tests of a driver beside the suite.
func ServingEnv() map[string]string { return map[string]string{behaviourVariable: serves} }

// ServingEverywhereEnv is ServingEnv for a pod with addresses of its own.
func ServingEverywhereEnv() map[string]string {
	return map[string]string{behaviourVariable: serves, listenVariable: everywhere}
}
