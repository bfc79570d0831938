package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	minProbeDelay = time.Millisecond
	maxProbeDelay = 50 * time.Millisecond
	// probeLimit bounds one try: a program may take the connection long before it can answer.
	probeLimit = 5 * time.Second
	// defaultListenLimit is what platforms that run Procfiles commonly allow.
	defaultListenLimit = time.Minute
)

var errExited = errors.New("the program exited")

// probe tries once whether the pod is ready.
type probe func(ctx context.Context) error

// awaitReady returns nil once the pod takes calls, and an error when it has exited, nothing listens within patience, or ctx has ended.
func (p *process) awaitReady(ctx context.Context, patience time.Duration) error {
	try := p.probe()
	if try == nil {
		return nil
	}
	ctx, release := p.untilExit(ctx)
	defer release()
	began := time.Now()
	var last error
	for {
		err := try(ctx)
		if cause := context.Cause(ctx); cause != nil {
			return p.notReady(cause, last)
		}
		if err == nil {
			return nil
		}
		last = err
		gone := time.Since(began)
		if gone > patience && isRefused(err) {
			return fmt.Errorf("it did not listen on %s, the port in $PORT, within %v", p.addr.Host, patience)
		}
		pause(ctx, probeDelay(gone))
	}
}

// isRefused reports whether no connection was made, so that nothing listens yet.
func isRefused(err error) bool {
	connecting, ok := errors.AsType[*net.OpError](err)
	return ok && connecting.Op == "dial"
}

// probe answers nil for a pod that is ready as soon as it is started.
func (p *process) probe() probe {
	switch {
	case p.spec.HealthPath != "":
		return p.probeHealth
	case p.spec.SocketActivation:
		return nil
	}
	return p.probeConnect
}

// untilExit is ctx, and ends with errExited when the program does.
func (p *process) untilExit(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-p.exited:
			cancel(errExited)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// probeDelay grows with the time that has gone by, so that looking adds about a tenth to a start however long that takes.
func probeDelay(gone time.Duration) time.Duration {
	return min(max(gone/10, minProbeDelay), maxProbeDelay)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (p *process) probeConnect(ctx context.Context) error {
	dialer := net.Dialer{Timeout: probeLimit}
	conn, err := dialer.DialContext(ctx, "tcp4", p.addr.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (p *process) probeHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.healthURL(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
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

// healthy judges an answer at the health path. 503 is a program's way to say "not yet" wherever it is asked.
func (p *process) healthy(status int) bool {
	if p.spec.HealthOptional {
		return status != http.StatusServiceUnavailable
	}
	return 200 <= status && status <= 299
}

func (p *process) healthURL() string {
	return p.addr.String() + "/" + strings.TrimPrefix(p.spec.HealthPath, "/")
}

// notReady says what was waited for, and how the last try went.
func (p *process) notReady(cause, last error) error {
	if errors.Is(cause, errExited) {
		return cause
	}
	if p.spec.HealthPath == "" {
		return fmt.Errorf("it did not listen on %s, the port in $PORT, in time: %w", p.addr.Host, cause)
	}
	if last == nil {
		return fmt.Errorf("it did not answer GET %s with 2xx in time: %w", p.healthURL(), cause)
	}
	return fmt.Errorf("it did not answer GET %s with 2xx in time (last: %w): %w", p.healthURL(), last, cause)
}
