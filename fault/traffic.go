package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// Traffic is what callers of one app see while its pods come and go: calls at a constant rate whether or not those before are answered, and WebSockets
// that stay open.
type Traffic struct {
	Client *Client
	App    string
	// Rate is how many direct calls a second there are; one in twenty goes by Invoke besides, one in forty by InvokeAsync.
	Rate int
	// Sockets is how many WebSockets are open at a time.
	Sockets int

	direct *http.Client

	mu      sync.Mutex
	answers []Answer
	cuts    []Cut
	ids     []string
	echoes  int
}

// Answer is what became of one call.
type Answer struct {
	Surface        string
	Sent, Answered time.Time
	// Inside is how long it was to stay in its pod.
	Inside time.Duration
	// Version is what the pod said it was.
	Version string
	// Fault is why there is no answer.
	Fault error
}

// beyond is what the call took beside its time in the pod.
func (a Answer) beyond() time.Duration { return a.Answered.Sub(a.Sent) - a.Inside }

// Cut is the end of a WebSocket that its client did not want.
type Cut struct {
	Opened, At time.Time
	Fault      error
}

const (
	// callTime is how long a call stays in its pod, longTime how long one of twenty direct calls does, so that some are always under way.
	callTime, longTime = 20 * time.Millisecond, time.Second
	// echoPause is between two messages of a socket.
	echoPause = 200 * time.Millisecond
)

// Run goes on until ctx ends, and returns when every call has its answer.
func (tr *Traffic) Run(ctx, life context.Context) {
	tr.direct = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	defer tr.direct.CloseIdleConnections()
	var callers sync.WaitGroup
	for range tr.Sockets {
		callers.Go(func() { tr.keepSocket(ctx, life) })
	}
	tick := time.NewTicker(time.Second / time.Duration(tr.Rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			callers.Wait()
			return
		}
		inside := callTime
		if n%20 == 10 {
			inside = longTime
		}
		callers.Go(func() { tr.call(life, "direct", inside, tr.callDirect) })
		if n%20 == 0 {
			callers.Go(func() { tr.call(life, "Invoke", callTime, tr.callInvoke) })
		}
		if n%40 == 0 {
			callers.Go(func() { tr.call(life, submission, 0, tr.callAsync) })
		}
	}
}

// submission is the surface that answers before the call is made.
const submission = "InvokeAsync"

func (tr *Traffic) call(ctx context.Context, surface string, inside time.Duration, make func(context.Context, time.Duration) (string, error)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a := Answer{Surface: surface, Sent: time.Now(), Inside: inside}
	a.Version, a.Fault = make(ctx, inside)
	a.Answered = time.Now()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.answers = append(tr.answers, a)
}

func (tr *Traffic) host() string { return tr.App + "-" + organization + ".ignite.localhost" }

// callDirect posts, because a client repeats a GET by itself when its connection breaks.
func (tr *Traffic) callDirect(ctx context.Context, inside time.Duration) (version string, err error) {
	url := fmt.Sprintf("%s/version?wait=%v", tr.Client.base, inside)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("which"))
	if err != nil {
		return "", err
	}
	request.Host = tr.host()
	request.Header.Set("Authorization", "Bearer "+tr.Client.token)
	answer, err := tr.direct.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return string(body), err
}

func (tr *Traffic) request(inside time.Duration) *ignitev1.InvokeRequest {
	return &ignitev1.InvokeRequest{OrganizationName: organization, AppName: tr.App,
		Http: &ignitev1.HttpContext{Path: "/version", Query: fmt.Sprintf("wait=%v", inside)}}
}

func (tr *Traffic) callInvoke(ctx context.Context, inside time.Duration) (version string, err error) {
	ctx, cancel := tr.Client.call(ctx, patience)
	defer cancel()
	stream, err := tr.Client.api.Invoke(ctx, tr.request(inside))
	if err != nil {
		return "", err
	}
	var status uint32
	var body []byte
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		status = max(status, uint32(frame.GetHead().GetStatusCode()))
		body = append(body, frame.GetChunk().GetData()...)
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("status %d: %.200s", status, body)
	}
	return string(body), nil
}

// callAsync only submits; Unfinished follows.
func (tr *Traffic) callAsync(ctx context.Context, _ time.Duration) (version string, err error) {
	id, err := tr.Client.Submit(ctx, tr.request(longTime))
	if err == nil {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.ids = append(tr.ids, id)
	}
	return "", err
}

// keepSocket has one open until ctx ends, and opens another when it is cut.
func (tr *Traffic) keepSocket(ctx, life context.Context) {
	for ctx.Err() == nil {
		opened, err := tr.useSocket(ctx, life)
		if err == nil {
			return
		}
		tr.mu.Lock()
		tr.cuts = append(tr.cuts, Cut{Opened: opened, At: time.Now(), Fault: err})
		tr.mu.Unlock()
		if opened.IsZero() {
			pause(ctx)
		}
	}
}

// useSocket sends a message every now and then and wants it back, until ctx ends. It answers when the socket was open.
func (tr *Traffic) useSocket(ctx, life context.Context) (opened time.Time, err error) {
	opening, cancel := context.WithTimeout(life, patience)
	defer cancel()
	//nolint:bodyclose // of a WebSocket the body is the connection, which is closed
	conn, _, err := websocket.Dial(opening, tr.Client.base+"/echo", &websocket.DialOptions{
		Host: tr.host(), HTTPHeader: http.Header{"Authorization": {"Bearer " + tr.Client.token}}})
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = conn.CloseNow() }()
	opened = time.Now()
	for n := 0; ; n++ {
		if err := tr.echo(life, conn, fmt.Sprintf("message %d", n)); err != nil {
			return opened, err
		}
		select {
		case <-time.After(echoPause):
		case <-ctx.Done():
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return opened, nil
		}
	}
}

func (tr *Traffic) echo(ctx context.Context, conn *websocket.Conn, message string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return err
	}
	_, back, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	if string(back) != message {
		return fmt.Errorf("sent %q and got %q back", message, back)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.echoes++
	return nil
}

// Unfinished reads every submitted execution to its end, and says which did not complete.
func (tr *Traffic) Unfinished(ctx context.Context) []error {
	tr.mu.Lock()
	ids := tr.ids
	tr.mu.Unlock()
	var faults []error
	for _, id := range ids {
		e, _, err := tr.Client.Await(ctx, id)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("read %s: %w", id, err))
		case e.GetStatus() != ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED:
			faults = append(faults, fmt.Errorf("%s is %s: %s", id, e.GetStatus(), e.GetError().GetMessage()))
		}
	}
	return faults
}
