package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// spliced is from which length on the kernel moves an answer by itself.
const spliced = 64 << 10

// body copies the body of an answer to the caller.
func (x *exchange) body(response *http.Response) error {
	if response.Body == http.NoBody {
		return nil
	}
	if response.ContentLength >= spliced {
		if done, err := x.splice(response.ContentLength); done {
			return err
		}
	}
	if response.ContentLength < 0 && x.conn.reader.Buffered() == 0 {
		if err := flush(x.w); err != nil {
			return &CallerError{err}
		}
	}
	return copyBody(x.w, response.Body)
}

// copyBody passes each piece on before it waits for the next.
func copyBody(w http.ResponseWriter, from io.Reader) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			if _, failed := w.Write(buffer[:n]); failed != nil {
				return &CallerError{failed}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if failed := flush(w); failed != nil {
			return &CallerError{failed}
		}
	}
}

func flush(w http.ResponseWriter) error {
	if f, ok := w.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	return http.NewResponseController(w).Flush()
}

// splice copies a body of known length from socket to socket. It is not done where the caller's side is no plain connection.
func (x *exchange) splice(length int64) (done bool, err error) {
	to, ok := x.w.(io.ReaderFrom)
	socket, plain := x.conn.Conn.(*net.TCPConn)
	if !ok || !plain || x.r.TLS != nil || x.r.ProtoMajor != 1 {
		return false, nil
	}
	ahead := min(int64(x.conn.reader.Buffered()), length)
	if n, err := io.CopyN(writerOnly{x.w}, x.conn.reader, ahead); err != nil {
		return true, &CallerError{fmt.Errorf("after %d bytes: %w", n, err)}
	}
	rest := &io.LimitedReader{R: socket, N: length - ahead}
	_, err = to.ReadFrom(rest)
	switch {
	case err == nil && rest.N == 0:
		return true, nil
	case err == nil:
		return true, io.ErrUnexpectedEOF
	case errors.Is(err, syscall.EPIPE) || x.conn.stands():
		return true, &CallerError{err}
	default:
		return true, err
	}
}

// writerOnly hides a ReadFrom.
type writerOnly struct{ io.Writer }
