package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
)

// exchange is one request and its answer on one connection.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	call *Call
	conn *conn
	// upgrade is the protocol that the caller would like to change to.
	upgrade string
	pump    *pump
	// begun says that the answer's head may be on its way; the backend's lock guards it.
	begun bool
	// reusable says that the connection can serve another call.
	reusable bool
}

// errStale says that a connection that was idle turned out to be closed, and that the request may be sent on another one.
var errStale = errors.New("the connection was closed meanwhile")

// run makes the call; release keeps the caller's context from ending it, if it has not done so yet. Whatever run returns, nothing of
// the call runs any more.
func (x *exchange) run(release func() bool) error {
	err := x.send()
	if err == nil {
		err = x.receive()
	}
	// Before the pump is stopped: net/http takes the end of its reading for a caller who left.
	x.reusable = release() && x.reusable
	if x.pump == nil {
		return err
	}
	whole, caller := x.pump.stop(x)
	x.reusable = x.reusable && whole
	if caller != nil && x.call.Status == 0 {
		return caller
	}
	return err
}

// send writes the request, or leaves its body to a pump. An error of the server is left to receive, which may find an answer all the same.
func (x *exchange) send() error {
	x.upgrade = upgradeOf(x.r)
	body := bodyOf(x.r)
	x.writeHead(body)
	switch {
	case body.kind == bodyNone:
	case body.kind == bodyShort && body.expects == "":
		if err := x.copyShort(body.length); err != nil {
			return err
		}
	default:
		x.startPump(body)
	}
	if x.pump == nil {
		_ = x.conn.writer.Flush() // see above
	}
	return nil
}

// receive passes answers on until the final one is given in full.
func (x *exchange) receive() error {
	x.conn.headLeft = maxHead
	for {
		response, err := x.readHead() //nolint:bodyclose // it is read to its end, or its connection is not used again
		if err != nil {
			return err
		}
		switch {
		case response.StatusCode == http.StatusSwitchingProtocols:
			return x.switchProtocols(response)
		case response.StatusCode < http.StatusOK:
			x.interim(response)
		default:
			return x.final(response)
		}
	}
}

func (x *exchange) readHead() (*http.Response, error) {
	if _, err := x.conn.reader.Peek(1); err != nil {
		if x.conn.reused && x.repeatable() && x.conn.headLeft == maxHead {
			return nil, errStale
		}
		return nil, unexpected(err)
	}
	response, err := http.ReadResponse(x.conn.reader, x.r)
	if err != nil {
		return nil, unexpected(err)
	}
	return response, nil
}

// repeatable reports whether the request may be sent twice.
func (x *exchange) repeatable() bool {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return x.pump == nil && x.r.ContentLength == 0 && x.r.Context().Err() == nil
	default:
		return false
	}
}

// interim passes an answer on that another one follows. A 100 is for the pump, and net/http gives it to the caller when the body is read.
func (x *exchange) interim(response *http.Response) {
	if response.StatusCode == http.StatusContinue {
		if x.pump != nil {
			x.pump.goOn()
		}
		return
	}
	if !x.r.ProtoAtLeast(1, 1) {
		return
	}
	dropHopByHop(response.Header)
	header := x.w.Header()
	maps.Copy(header, response.Header)
	x.w.WriteHeader(response.StatusCode)
	clear(header)
}

// final gives the answer that nothing follows.
func (x *exchange) final(response *http.Response) error {
	x.conn.headLeft = noEnd
	keeps := !response.Close && (response.ContentLength >= 0 || len(response.TransferEncoding) > 0 || response.Body == http.NoBody)
	if err := x.begin(response); err != nil {
		return err
	}
	if err := x.body(response); err != nil {
		return err
	}
	x.trailers(response)
	x.reusable = keeps
	return nil
}

// begin writes the head.
func (x *exchange) begin(response *http.Response) error {
	if err := x.commit(response.StatusCode); err != nil {
		return err
	}
	writeAnswerHead(x.w, response, x.call.Answer)
	return nil
}

// commit is the moment after which the answer can only break off: who cuts the call from here on stops writing to the caller, too.
func (x *exchange) commit(status int) error {
	b := x.conn.home
	b.mu.Lock()
	defer b.mu.Unlock()
	if x.conn.cause != nil {
		return x.conn.cause
	}
	x.begun, x.call.Status = true, status
	return nil
}

// writeAnswerHead gives the server's head to the caller.
func writeAnswerHead(w http.ResponseWriter, response *http.Response, change func(int, http.Header)) {
	dropHopByHop(response.Header)
	header := w.Header()
	maps.Copy(header, response.Header)
	for _, name := range [...]string{"Date", "Content-Type"} {
		if _, ok := header[name]; !ok {
			header[name] = nil // or net/http makes one up
		}
	}
	if len(response.Trailer) > 0 {
		names := make([]string, 0, len(response.Trailer))
		for name := range response.Trailer {
			names = append(names, name)
		}
		header["Trailer"] = []string{strings.Join(names, ", ")}
	}
	if change != nil {
		change(response.StatusCode, header)
	}
	w.WriteHeader(response.StatusCode)
}

// trailers follow the body.
func (x *exchange) trailers(response *http.Response) { writeTrailers(x.w, response) }

func writeTrailers(w http.ResponseWriter, response *http.Response) {
	if len(response.Trailer) == 0 {
		return
	}
	_ = flush(w) // so that a short answer is chunked, too; that the caller left shows elsewhere
	header := w.Header()
	announced := header["Trailer"]
	for name, values := range response.Trailer {
		if !hasToken(announced, name) {
			name = http.TrailerPrefix + name
		}
		header[name] = values
	}
}

// stopWriting makes what is being written to the caller fail. It is called with the backend's lock held.
func (x *exchange) stopWriting() {
	// It fails where there is no connection to speak of, as in tests.
	_ = http.NewResponseController(x.w).SetWriteDeadline(past())
}

// unexpected is the end of a connection in the middle of an answer.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// upgradeOf answers the protocol that a request asks to change to, empty for none. HTTP/2 in the clear is none: what a caller says in a
// protocol that carries requests would not be checked.
func upgradeOf(r *http.Request) string {
	if len(r.Header["Upgrade"]) != 1 || r.ContentLength != 0 || !hasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	protocol := r.Header["Upgrade"][0]
	if strings.Contains(strings.ToLower(protocol), "h2c") || strings.Contains(strings.ToLower(protocol), "http/") {
		return ""
	}
	return protocol
}
