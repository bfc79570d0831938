package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	bufferSize = 32 << 10
	// continueTime is how long a server may leave a caller waiting who expects a 100, before the body is sent anyway.
	continueTime = time.Second
	// sendTime is for the rest of a body that the caller has sent and the server, which has answered, may not want.
	sendTime = 100 * time.Millisecond
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyShort sends a body of known length with its head, without a goroutine.
func (x *exchange) copyShort(length int64) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	n, err := io.ReadFull(x.r.Body, buffer[:length])
	if err != nil {
		return &CallerError{err}
	}
	_, _ = x.conn.writer.Write(buffer[:n]) // that the server is gone shows when an answer is read
	return nil
}

// pump sends a body while its answer may already be coming.
type pump struct {
	body body
	// proceed is closed when the server wants the body, stopped when it has answered.
	proceed, stopped chan struct{}
	once             sync.Once
	done             chan struct{}
	// read says that the caller has sent all of it, which is so before the server has all of it.
	read atomic.Bool
	// caller says why the caller's body broke off, whole that the server has all of it. Both are read after done.
	caller error
	whole  bool
}

func (x *exchange) startPump(body body) {
	// Without it net/http reads the rest of the request before the answer begins. It fails where there is nothing to enable.
	_ = http.NewResponseController(x.w).EnableFullDuplex()
	p := &pump{body: body, proceed: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{})}
	if body.expects == "" {
		p.goOn()
	}
	x.pump = p
	_ = x.conn.writer.Flush() // that the server is gone shows when an answer is read
	go func() {
		defer close(p.done)
		p.run(x)
	}()
}

// goOn lets the body flow.
func (p *pump) goOn() { p.once.Do(func() { close(p.proceed) }) }

func (p *pump) run(x *exchange) {
	if !p.wanted() {
		return
	}
	err := p.copy(x)
	p.whole = err == nil
	caller, ok := errors.AsType[*CallerError](err)
	if !ok || isClosed(p.stopped) {
		return
	}
	p.caller = caller
	x.conn.home.cut(x.conn, caller) // the server would wait for the rest
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wanted waits until the server says that it wants the body, or has said nothing for a while.
func (p *pump) wanted() bool {
	patience := time.NewTimer(continueTime)
	defer patience.Stop()
	select {
	case <-p.proceed:
	case <-patience.C:
	case <-p.stopped:
		return false
	}
	return true
}

// copy sends the body piece by piece. An error that is no *CallerError is the server's, and shows when its answer is read.
func (p *pump) copy(x *exchange) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := x.r.Body.Read(buffer[:])
		if err == io.EOF {
			p.read.Store(true)
		}
		if n > 0 {
			if failed := p.piece(x, buffer[:n]); failed != nil {
				return failed
			}
		}
		if err == io.EOF {
			return p.end(x)
		}
		if err != nil {
			return &CallerError{err}
		}
	}
}

func (p *pump) piece(x *exchange, data []byte) error {
	out := x.conn.writer
	if p.body.kind != bodyChunked {
		_, _ = out.Write(data) // Flush repeats its error
		return out.Flush()
	}
	_, _ = out.Write(append(strconv.AppendInt(out.AvailableBuffer(), int64(len(data)), 16), "\r\n"...))
	_, _ = out.Write(data)
	_, _ = out.WriteString("\r\n")
	return out.Flush()
}

func (p *pump) end(x *exchange) error {
	if p.body.kind != bodyChunked {
		return nil
	}
	out := x.conn.writer
	_, _ = out.WriteString("0\r\n")
	if err := x.r.Trailer.Write(out); err != nil {
		return err
	}
	_, _ = out.WriteString("\r\n")
	return out.Flush()
}

// stop ends the pump if the server has answered before it had the whole body, and answers whether it had it, and why the caller's body broke off.
func (p *pump) stop(x *exchange) (whole bool, caller error) {
	close(p.stopped)
	select {
	case <-p.done:
	default:
		_ = x.conn.SetWriteDeadline(time.Now().Add(sendTime))
		if !p.read.Load() {
			_ = http.NewResponseController(x.w).SetReadDeadline(past())
		}
		<-p.done
		_ = x.conn.SetWriteDeadline(time.Time{})
	}
	if !p.read.Load() {
		hangUp(x.w)
	}
	return p.whole, p.caller
}

// hangUp makes net/http close the caller's connection after the answer, once the caller had time to read it. The rest of a body
// must not be taken for the next request, and net/http does take it so when reading the body failed.
func hangUp(w http.ResponseWriter) {
	tooMuch := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = tooMuch.Read(make([]byte, 1)) // this is what tells w
}
