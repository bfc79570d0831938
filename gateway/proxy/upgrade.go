package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// switchProtocols joins both connections, whatever is spoken on them, until both sides are done.
func (x *exchange) switchProtocols(response *http.Response) error {
	x.conn.headLeft = noEnd
	if x.upgrade == "" || !strings.EqualFold(response.Header.Get("Upgrade"), x.upgrade) {
		return fmt.Errorf("the server switched to %q, and the caller asked for %q", response.Header.Get("Upgrade"), x.upgrade)
	}
	if !x.conn.home.untime(x.conn) {
		return ErrTimeout
	}
	caller, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return fmt.Errorf("take the caller's connection over: %w", err)
	}
	defer func() { _ = caller.Close() }() // both sides are done
	x.call.Status = response.StatusCode
	if x.call.Answer != nil {
		x.call.Answer(response.StatusCode, response.Header)
	}
	if err := writeSwitch(buffered.Writer, response); err != nil {
		return &CallerError{err}
	}
	return x.join(caller, buffered.Reader)
}

func writeSwitch(out *bufio.Writer, response *http.Response) error {
	_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\n") // Flush repeats its error
	if err := response.Header.Write(out); err != nil {
		return err
	}
	_, _ = out.WriteString("\r\n")
	return out.Flush()
}

// join copies both ways. One side that is done is told to the other, which may go on; one that fails ends both.
func (x *exchange) join(caller net.Conn, ahead *bufio.Reader) error {
	var upwards sync.WaitGroup
	var sent error
	upwards.Go(func() {
		sent = relay(x.conn.Conn, caller, ahead)
		if sent != nil {
			_ = x.conn.SetDeadline(past())
		}
	})
	received := relay(caller, x.conn.Conn, x.conn.reader)
	if received != nil {
		_ = caller.SetDeadline(past())
	}
	upwards.Wait()
	return errors.Join(received, sent)
}

// relay copies what was read ahead, then the rest, and says to the other side that this was all.
func relay(to, from net.Conn, ahead *bufio.Reader) error {
	if _, err := io.CopyN(to, ahead, int64(ahead.Buffered())); err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return io.EOF
	}
	return half.CloseWrite()
}
