package pod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

var errUploadClosed = errors.New("the call is over")

// upload is a request body that remembers whether it failed by itself: that is the caller's fault and not the pod's.
type upload struct {
	body   io.Reader
	length int64 // announced; -1 if it is not known

	mu     sync.Mutex
	read   int64
	err    error
	closed bool
}

func (u *upload) Read(p []byte) (int, error) {
	if u.isClosed() {
		return 0, errUploadClosed
	}
	n, err := u.body.Read(p)
	return n, u.note(n, err)
}

func (u *upload) note(n int, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.read += int64(n)
	switch {
	case u.length >= 0 && u.read > u.length:
		err = fmt.Errorf("it is longer than the %d bytes announced", u.length)
	case errors.Is(err, io.EOF) && u.read < u.length:
		err = fmt.Errorf("it ended after %d of the %d bytes announced: %w", u.read, u.length, io.ErrUnexpectedEOF)
	}
	if err != nil && !errors.Is(err, io.EOF) && u.err == nil {
		u.err = err
	}
	return err
}

func (u *upload) isClosed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// Close lets no further read begin; one under way is not waited for, it may hang for as long as the caller's own client does.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return nil
}

// failure is why the body could not be read, or nil. It may be asked of the nil upload.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// attach gives request its body. One in memory goes out in one write with the head and is not consumed, so that the call can be
// made again with the same Request; any other is read only after the head went out.
func (r Request) attach(request *http.Request) (*upload, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	if open, length := inMemory(r.Body); open != nil {
		return nil, attachMemory(request, open, length, r.ContentLength)
	}
	u := &upload{body: r.Body, length: r.ContentLength}
	request.Body, request.ContentLength = u, r.ContentLength
	if r.ContentLength < 0 {
		// Said outright, because net/http would read a first byte to find out whether a GET has a body.
		request.TransferEncoding = []string{"chunked"}
	}
	return u, nil
}

func attachMemory(request *http.Request, open func() io.Reader, length, announced int64) error {
	if announced >= 0 && announced != length {
		return fmt.Errorf("body of %d bytes was announced with %d", length, announced)
	}
	if length == 0 {
		return nil
	}
	request.ContentLength = length
	request.Body = io.NopCloser(open())
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(open()), nil }
	return nil
}

// inMemory answers readers of their own of what is left of body, and how much that is; nil if it is not known to be in memory.
func inMemory(body io.Reader) (open func() io.Reader, length int64) {
	switch body := body.(type) {
	case *bytes.Reader:
		rest := *body
		return func() io.Reader { again := rest; return &again }, int64(rest.Len())
	case *strings.Reader:
		rest := *body
		return func() io.Reader { again := rest; return &again }, int64(rest.Len())
	case *bytes.Buffer:
		rest := body.Bytes()
		return func() io.Reader { return bytes.NewReader(rest) }, int64(len(rest))
	}
	return nil, 0
}
