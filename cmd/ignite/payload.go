package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// readPayload reads a file, or standard input for "-", up to what a message may hold.
func (c *client) readPayload(ctx context.Context, name string) ([]byte, error) {
	if name == "-" {
		return readBounded(ctx, c.stdin, "standard input")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("read the payload: %w", err)
	}
	defer func() { _ = file.Close() }() // opened for reading only
	return readBounded(ctx, file, name)
}

// argument is an argument of the command line, or standard input if it is "-".
func (c *client) argument(ctx context.Context, argument string) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	content, err := readBounded(ctx, c.stdin, "standard input")
	return string(content), err
}

// readBounded reads everything, or gives up when ctx ends. A read from a terminal cannot be interrupted, so then the
// reader stays behind; it ends with the process, which is about to.
func readBounded(ctx context.Context, from io.Reader, name string) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	finished := make(chan result, 1)
	go func() {
		content, err := io.ReadAll(io.LimitReader(from, maxArchive+1))
		finished <- result{content, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case read := <-finished:
		if read.err != nil {
			return nil, fmt.Errorf("read %s: %w", name, read.err)
		}
		if len(read.content) > maxArchive {
			return nil, fmt.Errorf("%s is larger than %s, the most that can be sent", name, bytesText(maxArchive))
		}
		return read.content, nil
	}
}
