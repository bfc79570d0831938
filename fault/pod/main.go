// Command pod is the app of the fault suite. It answers the body of a call with every byte turned (see Turn in package fault), and what the query
// asks for:
//
//	wait=100ms               waits before it answers
//	first=60s                waits so long in the first attempt
//	chunks=8&every=10ms      streams the answer in so many pieces; mark=1 puts the attempt before each
//	status=500&times=1       answers that, while the attempt is not higher
//	retry_after=1            gives such an answer a Retry-After
//
// /version answers what the file of that name in the app's code says, with wait as above; /echo is a WebSocket that sends back what it is sent. Told
// that it is broken, it ends at once.
//
// Every call is written down in the file CALLS before anything else, in one write, so that the line survives whatever kills the pod.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

func main() {
	if slices.Contains(os.Args[1:], "broken") {
		log.Fatal("this version cannot work")
	}
	version, _ := os.ReadFile("version") // none is empty
	p := &pod{version: version}
	if name := os.Getenv("CALLS"); name != "" {
		calls, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			log.Fatal(err)
		}
		p.calls = calls
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

type pod struct {
	version []byte
	calls   *os.File // nil if nobody reads them
}

func (p *pod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/run":
		p.run(w, r)
	case "/version":
		select {
		case <-time.After(parse(r).wait):
			_, _ = w.Write(p.version)
		case <-r.Context().Done():
		}
	case "/echo":
		echo(w, r)
	default: // whoever looks whether the pod lives
	}
}

// echo ends with its connection.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

func (p *pod) run(w http.ResponseWriter, r *http.Request) {
	wish := parse(r)
	if err := p.note(r, wish); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	for i := range body {
		body[i] ^= 0x5a
	}
	select {
	case <-time.After(wish.wait):
	case <-r.Context().Done():
		return
	}
	if wish.chunks > 0 {
		wish.stream(w, r, body)
		return
	}
	if wish.retryAfter != "" && wish.status != http.StatusOK {
		w.Header().Set("Retry-After", wish.retryAfter)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(wish.status)
	_, _ = w.Write(body)
}

// note writes down time, execution, attempt, tag and the status that the answer is going to have.
func (p *pod) note(r *http.Request, w wish) error {
	if p.calls == nil {
		return nil
	}
	_, err := fmt.Fprintf(p.calls, "%d %s %s %s %d\n", time.Now().UnixNano(), r.Header.Get("X-Ignite-Execution-Id"),
		r.Header.Get("X-Ignite-Attempt"), r.Header.Get("X-Tag"), w.status)
	return err
}

// wish is what the query asks for.
type wish struct {
	wait, every time.Duration
	chunks      int
	mark        string
	status      int
	retryAfter  string
}

func parse(r *http.Request) wish {
	q := r.URL.Query()
	w := wish{
		wait: duration(q, "wait"), every: duration(q, "every"), chunks: number(q, "chunks"),
		status: http.StatusOK, retryAfter: q.Get("retry_after"),
	}
	attempt, _ := strconv.Atoi(r.Header.Get("X-Ignite-Attempt"))
	if attempt == 1 && q.Has("first") {
		w.wait = duration(q, "first")
	}
	if q.Has("mark") {
		w.mark = fmt.Sprintf("attempt %d ", attempt)
	}
	if q.Has("status") && attempt <= number(q, "times") {
		w.status = number(q, "status")
	}
	return w
}

func duration(q url.Values, name string) time.Duration {
	d, _ := time.ParseDuration(q.Get(name))
	return d
}

func number(q url.Values, name string) int {
	n, _ := strconv.Atoi(q.Get(name))
	return n
}

// stream sends body in pieces of equal size, each at its time.
func (w wish) stream(out http.ResponseWriter, r *http.Request, body []byte) {
	out.WriteHeader(w.status)
	size := len(body) / w.chunks
	for i := range w.chunks {
		piece := body[i*size:]
		if i < w.chunks-1 {
			piece = piece[:size]
		}
		_, _ = io.WriteString(out, w.mark)
		_, _ = out.Write(piece)
		_ = http.NewResponseController(out).Flush()
		select {
		case <-time.After(w.every):
		case <-r.Context().Done():
			return
		}
	}
}
