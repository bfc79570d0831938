// Command app is the pod that the benchmarks call. It answers at once with the body it got, remembers how long after the
// time stamp in the body each call arrived, and sleeps where it is asked to. LISTEN_AFTER=2s lets it begin to listen so late.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	late, _ := time.ParseDuration(os.Getenv("LISTEN_AFTER")) // what is no time is none
	<-time.After(late)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	app := &app{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", app.echo)
	mux.HandleFunc("POST /sleep", app.sleep)
	mux.HandleFunc("POST /second", second)
	mux.HandleFunc("POST /chunks", app.chunks)
	mux.HandleFunc("POST /clock", app.clock)
	mux.HandleFunc("GET /arrivals", app.arrivals)
	mux.HandleFunc("GET /bytes", bytes)
	mux.HandleFunc("GET /events", events)
	log.Fatal(http.Serve(listener, mux))
}

type app struct {
	mu    sync.Mutex
	delay []time.Duration
}

func (a *app) echo(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.RawQuery == "stamped" && len(body) >= 8 {
		a.remember(arrived.Sub(time.Unix(0, int64(binary.LittleEndian.Uint64(body)))))
	}
	_, _ = w.Write(body)
}

func (a *app) remember(delay time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delay = append(a.delay, delay)
}

// sleep holds the call until its caller leaves.
func (a *app) sleep(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// second answers after a second, unless its caller leaves before.
func second(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(time.Second):
	case <-r.Context().Done():
	}
}

// chunks sends as many short pieces as its query says, apart so that each is read by itself.
func (a *app) chunks(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.RawQuery) // what is no number is none
	flusher := http.NewResponseController(w)
	tick := time.NewTicker(300 * time.Microsecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		_, _ = fmt.Fprintf(w, "chunk %d\n", i)
		if flusher.Flush() != nil {
			return
		}
	}
}

// clock sends the time once a second, as often as its query says.
func (a *app) clock(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.RawQuery) // what is no number is none
	flusher := http.NewResponseController(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range n {
		<-tick.C
		var now [8]byte
		binary.LittleEndian.PutUint64(now[:], uint64(time.Now().UnixNano()))
		_, _ = w.Write(now[:])
		if flusher.Flush() != nil {
			return
		}
	}
}

// arrivals answers the delays in nanoseconds and forgets them.
func (a *app) arrivals(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = json.NewEncoder(w).Encode(a.delay)
	a.delay = nil
}

// zeros are the bytes of every answer.
var zeros [1 << 20]byte

// bytes answers as many as the query says.
func bytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.RawQuery)
	if err != nil || n < 0 || n > len(zeros) {
		http.Error(w, "as many bytes as what?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(zeros[:n])
}

// events sends one event at once, and another half a second later: whoever collects what he passes on has the first one late.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, pause := range []time.Duration{0, 500 * time.Millisecond} {
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
			return
		}
		_, _ = io.WriteString(w, "data: now\n\n")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
	}
}
