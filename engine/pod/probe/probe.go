// Package probe finds out when a pod takes calls, for drivers whose pods do not say so themselves.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	minDelay = time.Millisecond
	maxDelay = 50 * time.Millisecond
	// tryLimit bounds one try: a program may take the connection long before it can answer.
	tryLimit = 5 * time.Second
	// DefaultListenLimit is what platforms that run Procfiles commonly allow.
	DefaultListenLimit = time.Minute
)

// ErrExited says that the program exited before it was ready.
var ErrExited = errors.New("the program exited")

// Pod is what is waited for.
type Pod struct {
	// Addr is where it will serve its primary port.
	Addr *url.URL
	// HealthPath and HealthOptional are pod.Spec's.
	HealthPath     string
	HealthOptional bool
	// Queued says that its calls wait in the kernel from the first moment: without a health path it is ready at once.
	Queued bool
	// Exited is closed when there is nothing to wait for any longer.
	Exited <-chan struct{}
	// Dial reaches Addr; nil is the network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ListenLimit is how long it may take until something listens; what listens may take longer to become healthy.
	ListenLimit time.Duration
}

// try looks once whether the pod is ready.
type try func(ctx context.Context) error

// Await returns nil once the pod takes calls, ErrExited when it has exited, and another error when nothing listens within ListenLimit
// or ctx has ended.
func (p Pod) Await(ctx context.Context) error {
	look := p.try()
	if look == nil {
		return nil
	}
	ctx, release := p.untilExit(ctx)
	defer release()
	began := time.Now()
	var last error
	for {
		err := look(ctx)
		if cause := context.Cause(ctx); cause != nil {
			return p.notReady(cause, last)
		}
		if err == nil {
			return nil
		}
		last = err
		gone := time.Since(began)
		if gone > p.ListenLimit && isRefused(err) {
			return fmt.Errorf("it did not listen on %s, the port in $PORT, within %v", p.Addr.Host, p.ListenLimit)
		}
		pause(ctx, delay(gone))
	}
}

// isRefused reports whether no connection was made, so that nothing listens yet.
func isRefused(err error) bool {
	connecting, ok := errors.AsType[*net.OpError](err)
	return ok && connecting.Op == "dial"
}

// try answers nil for a pod that is ready as soon as it is started.
func (p Pod) try() try {
	switch {
	case p.HealthPath != "":
		return p.health
	case p.Queued:
		return nil
	}
	return p.connect
}

// untilExit is ctx, and ends with ErrExited when the program does.
func (p Pod) untilExit(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-p.Exited:
			cancel(ErrExited)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// delay grows with the time that has gone by, so that looking adds about a tenth to a start however long that takes.
func delay(gone time.Duration) time.Duration {
	return min(max(gone/10, minDelay), maxDelay)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (p Pod) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	conn, err := p.dial()(ctx, "tcp4", p.Addr.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (p Pod) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if p.Dial != nil {
		return p.Dial
	}
	return new(net.Dialer).DialContext
}

func (p Pod) health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	response, err := p.ask(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 1<<10) // lets the program finish a short answer; what it says does not matter
	if !p.healthy(response.StatusCode) {
		return fmt.Errorf("it answered %s", response.Status)
	}
	return nil
}

// ask is for the health path in HTTP/1.1, or in HTTP/2 of a program that understands nothing else, as one of gRPC does.
func (p Pod) ask(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.healthURL(), nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: p.dial(), DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err == nil || isRefused(err) || ctx.Err() != nil {
		return response, err
	}
	again := &http.Transport{DialContext: p.dial(), DisableKeepAlives: true, Protocols: new(http.Protocols)}
	again.Protocols.SetUnencryptedHTTP2(true)
	if response, failed := again.RoundTrip(request); failed == nil {
		return response, nil
	}
	return nil, err
}

// healthy judges an answer at the health path. 503 is a program's way to say "not yet" wherever it is asked.
func (p Pod) healthy(status int) bool {
	if p.HealthOptional {
		return status != http.StatusServiceUnavailable
	}
	return 200 <= status && status <= 299
}

func (p Pod) healthURL() string {
	return p.Addr.String() + "/" + strings.TrimPrefix(p.HealthPath, "/")
}

// notReady says what was waited for, and how the last try went.
func (p Pod) notReady(cause, last error) error {
	if errors.Is(cause, ErrExited) {
		return cause
	}
	if p.HealthPath == "" {
		return fmt.Errorf("it did not listen on %s, the port in $PORT, in time: %w", p.Addr.Host, cause)
	}
	if last == nil {
		return fmt.Errorf("it did not answer GET %s with 2xx in time: %w", p.healthURL(), cause)
	}
	return fmt.Errorf("it did not answer GET %s with 2xx in time (last: %w): %w", p.healthURL(), last, cause)
}
