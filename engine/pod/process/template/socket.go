//go:build linux

package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxNotice is more than any notice has: the longest hold an error's text.
const maxNotice = 64 << 10

// notice is what the parent or the pod says.
type notice struct {
	Ready   bool   `json:"ready"`
	PID     int    `json:"pid"`
	Entered bool   `json:"entered"`
	Fault   string `json:"fault"`
	// Status is a wait status.
	Status *uint32 `json:"status"`
}

// socketPair makes a socket that keeps messages whole. The other end is for another process.
func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	file, theirs := os.NewFile(uintptr(ends[0]), "socket"), os.NewFile(uintptr(ends[1]), "socket")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn.(*net.UnixConn), theirs, nil
}

// send sends data with files; the other end gets copies of them.
func send(conn *net.UnixConn, data []byte, files []*os.File) error {
	descriptors := make([]int, len(files))
	for i, file := range files {
		descriptors[i] = int(file.Fd())
	}
	_, _, err := conn.WriteMsgUnix(data, unix.UnixRights(descriptors...), nil)
	return err
}

// receive answers the next notice, and the file that came with it, if one did.
func receive(conn *net.UnixConn) (notice, *os.File, error) {
	data, control := make([]byte, maxNotice), make([]byte, unix.CmsgSpace(4))
	n, controls, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return notice{}, nil, err
	}
	file, err := fileIn(control[:controls])
	if err != nil {
		return notice{}, nil, err
	}
	var said notice
	if err := json.Unmarshal(data[:n], &said); err != nil {
		return notice{}, nil, fmt.Errorf("read a template's notice: %w", err)
	}
	return said, file, nil
}

func fileIn(control []byte) (*os.File, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(descriptors[0]), "pidfd"), nil
}
