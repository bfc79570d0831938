package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	// pause is how long an answer of the provider, good or bad, is repeated without asking again. Without it, callers with
	// made-up keys could have the provider asked at every request, and each would wait for one that is down.
	pause = 2 * time.Second
	// maxDocument bounds what is read of the provider's answer.
	maxDocument = 1 << 20
)

// patient is a transport to an identity provider that asks for the same URL at most once per pause, and makes one
// ErrProviderUnavailable of all the ways in which a provider can fail to answer with a JSON document.
type patient struct {
	next http.RoundTripper

	mu     sync.Mutex
	recent map[string]answer
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
	at     time.Time
}

// RoundTrip answers from memory, or asks.
func (p *patient) RoundTrip(request *http.Request) (*http.Response, error) {
	url := request.URL.String()
	found, ok := p.remembered(url)
	if !ok {
		found = p.ask(request)
		p.remember(url, found)
	}
	if found.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProviderUnavailable, found.err)
	}
	return &http.Response{
		StatusCode:    found.status,
		Status:        http.StatusText(found.status),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        found.header.Clone(),
		Body:          io.NopCloser(bytes.NewReader(found.body)),
		ContentLength: int64(len(found.body)),
		Request:       request,
	}, nil
}

func (p *patient) remembered(url string) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.recent[url]
	return found, ok && time.Since(found.at) < pause
}

// remember forgets what is older, so that redirects to ever new places do not fill the memory.
func (p *patient) remember(url string, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recent == nil {
		p.recent = map[string]answer{}
	}
	a.at = time.Now()
	maps.DeleteFunc(p.recent, func(_ string, old answer) bool { return a.at.Sub(old.at) >= pause })
	p.recent[url] = a
}

func (p *patient) ask(request *http.Request) answer {
	response, err := p.next.RoundTrip(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	switch {
	case err != nil:
		return answer{err: fmt.Errorf("read %s: %w", request.URL.Redacted(), err)}
	case response.StatusCode >= http.StatusBadRequest:
		return answer{err: fmt.Errorf("%s answers %s", request.URL.Redacted(), response.Status)}
	case response.StatusCode == http.StatusOK && !json.Valid(body):
		return answer{err: fmt.Errorf("%s does not answer with a JSON document of at most %d bytes", request.URL.Redacted(), maxDocument)}
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}
}
