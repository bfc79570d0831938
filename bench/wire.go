package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// wire is a connection over which the same request goes out again and again, as bytes that were made once. What makes a load has to
// cost less than what is loaded: the client of net/http takes as long for a call as a fast server does.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

func openWire(address string) (*wire, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (w *wire) close() { _ = w.conn.Close() }

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("content-length:")
)

// exchange sends a request and reads a 200 of want bytes, whose length is said in its head.
func (w *wire) exchange(request []byte, want int) error {
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	status, err := w.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, statusOK) {
		return fmt.Errorf("answer %q", bytes.TrimSpace(status))
	}
	length, err := w.readHead()
	if err != nil {
		return err
	}
	if length != want {
		return fmt.Errorf("an answer of %d bytes instead of %d", length, want)
	}
	_, err = w.in.Discard(length)
	return err
}

// readHead answers the Content-Length, -1 if there is none.
func (w *wire) readHead() (length int, err error) {
	length = -1
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, fmt.Errorf("header %q: %w", line, err)
			}
		}
	}
}

// openWires opens so many connections, or none.
func openWires(address string, n int) (wires []*wire, err error) {
	for range n {
		w, err := openWire(address)
		if err != nil {
			closeWires(wires)
			return nil, errors.Join(fmt.Errorf("connection %d", len(wires)+1), err)
		}
		wires = append(wires, w)
	}
	return wires, nil
}

func closeWires(wires []*wire) {
	for _, w := range wires {
		w.close()
	}
}
