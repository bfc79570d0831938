package pod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout is long for the same machine and for a cluster's network: who does not answer in it is unreachable.
	dialTimeout = 5 * time.Second
	// idleConnections are kept for each pod: as many as the calls that one pod has by default.
	idleConnections = 80
	// idleTimeout is under the 2 s and more after which common servers hang up. Ours must be the side that closes, or a call
	// goes out on a connection that the pod is just closing, and nobody can tell whether it was seen.
	idleTimeout = 1500 * time.Millisecond
	// maxHeadBytes bounds the head of an answer.
	maxHeadBytes = 1 << 20
)

// Identity becomes the four X-Ignite-* headers of every call, whatever the caller sent under these names.
type Identity struct {
	ExecutionID string `json:"execution_id"`
	// FunctionID is "organization/name" of the app.
	FunctionID string `json:"function_id"`
	// OrganizationID is the caller's.
	OrganizationID string `json:"organization_id"`
	// Attempt counts from 1.
	Attempt uint32 `json:"attempt,omitempty"`
}

// Request is one call of a pod.
type Request struct {
	Envelope
	Identity
	// Body may still be read while the answer is, but no read begins once the call has failed or the answer's body was read to its
	// end or closed. A *bytes.Reader, *bytes.Buffer or *strings.Reader is not consumed.
	Body io.Reader
	// ContentLength of Body in bytes; -1 if it is not known. 0 means that there is no body.
	ContentLength int64
	// Clocks bound the call once a pod has it.
	Clocks Clocks
}

// Client sends calls to pods and keeps connections to them. It may be used concurrently.
type Client struct {
	transport *http.Transport
}

// Dial connects to a pod, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient makes a client with its own connections.
func NewClient() *Client {
	return NewClientDialing((&net.Dialer{Timeout: dialTimeout}).DialContext)
}

// NewClientDialing is NewClient for pods that are not reached by TCP.
func NewClientDialing(dial Dial) *Client {
	return &Client{transport: &http.Transport{
		Proxy: nil, // a pod is never behind one, whatever the environment says
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			connection, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &conn{Conn: connection}, nil
		},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeadBytes,
	}}
}

// Close closes the connections that are idle; calls that run keep theirs until they are done.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do sends r to t and answers the head of the pod's answer; the caller closes its body. The body ends in io.EOF, after which
// the trailers are there, or in an error that is ErrBroken, a *TimeoutError, or ctx's cause. ErrUnreachable: not a byte of the call
// was sent and none of its Body read. An answer's body shorter than announced is ErrBroken. An Envelope that cannot be sent is an
// *EnvelopeError, and what r.Body's own Read fails with comes back wrapped and is none of these.
//
// Leaving ctx disconnects the pod, and so does closing the body before its end. Redirects are the caller's business, compression is
// passed through as it is, and headers that speak about one connection are passed neither way.
func (c *Client) Do(ctx context.Context, t Target, r Request) (*http.Response, error) {
	request, upload, err := r.prepare(t)
	if err != nil {
		return nil, fmt.Errorf("call pod %s: %w", t.Pod, err)
	}
	if isClosed(t.OutOfService) {
		return nil, fmt.Errorf("call pod %s: %w: %w", t.Pod, ErrUnreachable, errOutOfService)
	}
	ctx, call := begin(ctx, t, r.Clocks)
	call.upload = upload
	response, err := c.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		err = call.failed(err)
		call.finish()
		return nil, err
	}
	return call.answered(response)
}

// prepare makes the request as it is to be on the wire.
func (r Request) prepare(t Target) (*http.Request, *upload, error) {
	if err := r.Validate(); err != nil {
		return nil, nil, err
	}
	if !r.valid() {
		return nil, nil, errors.New("the identity holds a control character")
	}
	request := &http.Request{
		Method: cmp.Or(r.Method, http.MethodPost),
		URL:    r.target(t.Addr),
		Header: outgoing(r.Header, r.Identity),
	}
	for _, host := range valuesFold(r.Header, "Host") {
		request.Host = host
	}
	upload, err := r.attach(request)
	return request, upload, err
}

// answered hands the head on, and the call with its body.
func (c *call) answered(response *http.Response) (*http.Response, error) {
	c.firstByte.stop()
	if err := unasked(response); err != nil {
		response.Body.Close()
		err = c.translate(ErrBroken, err)
		c.finish()
		return nil, err
	}
	stripAnswer(response.Header)
	if response.Body == http.NoBody {
		c.finish()
		return response, nil
	}
	response.Body = &answer{body: response.Body, call: c}
	return response, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
