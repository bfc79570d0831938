//go:build linux

package template_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// parentVariable makes this test's binary a parent. It starts its pods instead of forking them, which a Go program cannot do; what
// it says on the wire is the same.
const parentVariable = "TEMPLATE_TEST_PARENT"

// What the parent does.
const (
	forks       = "forks"
	refuses     = "refuses"
	isSilent    = "is silent"
	exitsEarly  = "exits early"
	diesOfOrder = "dies of an order"
	losesOrders = "loses orders"
)

// order is what a parent is sent.
type order struct {
	flag  byte
	files []*os.File
}

func runParent(behaviour string) error {
	runtime.LockOSThread() // its pods die with it, not with a thread that happens to start one
	orders, err := net.FileConn(os.NewFile(3, "orders"))
	if err != nil {
		return err
	}
	switch behaviour {
	case exitsEarly:
		return nil
	case isSilent:
		_, err := orders.Read(make([]byte, 1))
		return err
	}
	if _, err := orders.Write([]byte(`{"ready":true}`)); err != nil {
		return err
	}
	for {
		next, err := receiveOrder(orders.(*net.UnixConn))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := obey(behaviour, next); err != nil {
			return err
		}
	}
}

func receiveOrder(orders *net.UnixConn) (order, error) {
	data, control := make([]byte, 1), make([]byte, 1024)
	_, n, _, _, err := orders.ReadMsgUnix(data, control)
	if err != nil {
		return order{}, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return order{}, err
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return order{}, err
	}
	received := order{flag: data[0]}
	for _, descriptor := range descriptors {
		received.files = append(received.files, os.NewFile(uintptr(descriptor), "file"))
	}
	return received, nil
}

func obey(behaviour string, next order) error {
	text, wire, output := next.files[0], next.files[1], next.files[2]
	defer func() {
		for _, file := range next.files {
			_ = file.Close()
		}
	}()
	switch behaviour {
	case losesOrders:
		return nil
	case diesOfOrder:
		return errors.New("I die of it")
	case refuses:
		_, err := wire.WriteString(`{"fault":"I do not want to"}`)
		return err
	}
	asked, err := io.ReadAll(text)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(output, "%d %d %s\n", next.flag, len(next.files), asked); err != nil {
		return err
	}
	conn, err := net.FileConn(wire)
	if err != nil {
		return err
	}
	return startPod(asked, output, conn.(*net.UnixConn))
}

// startPod runs the shell on what the first variable says.
func startPod(asked []byte, output *os.File, wire *net.UnixConn) error {
	var text struct{ Env []string }
	if err := json.Unmarshal(asked, &text); err != nil {
		return err
	}
	var pidfd int
	command := exec.Command("/bin/sh", "-c", text.Env[0])
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd}
	if err := command.Start(); err != nil {
		return err
	}
	notice := fmt.Appendf(nil, `{"pid":%d}`, command.Process.Pid)
	if _, _, err := wire.WriteMsgUnix(notice, unix.UnixRights(pidfd), nil); err != nil {
		return err
	}
	if _, err := wire.Write([]byte(`{"entered":true}`)); err != nil {
		return err
	}
	go follow(command, wire)
	return nil
}

// follow ends with the pod, and ends the pod when the driver lets go of it.
func follow(command *exec.Cmd, wire *net.UnixConn) {
	letGo := make(chan struct{})
	go func() {
		defer close(letGo)
		_, _ = io.Copy(io.Discard, wire)
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL)
	}()
	_ = command.Wait()
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	_, _ = wire.Write(fmt.Appendf(nil, `{"status":%d}`, status))
	<-letGo
}

// lines answers what is written to a file until its end.
func lines(file *os.File) string {
	var all bytes.Buffer
	_, _ = io.Copy(&all, file)
	return all.String()
}
