package engine

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

// stage is the app of the property test.
type stage struct {
	mu       sync.Mutex
	requests map[string]*request
	seen     map[string]int
	// released is closed when those who are held may answer, and replaced unless that is for good.
	released chan struct{}
}

func newStage() *stage {
	return &stage{requests: make(map[string]*request), seen: make(map[string]int), released: make(chan struct{})}
}

func (s *stage) expect(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.id] = r
}

func (s *stage) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.released)
	s.released = make(chan struct{})
}

func (s *stage) releaseForGood() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.released)
}

func (s *stage) calls() (calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.seen {
		calls += n
	}
	return calls
}

// next answers what is to be done with a call, and when a held one may go on.
func (s *stage) next(id string) (*request, act, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[id]
	n := min(s.seen[id], len(r.plan)-1)
	s.seen[id]++
	return r, r.plan[n], s.released
}

func (s *stage) ServeHTTP(w http.ResponseWriter, call *http.Request) {
	body, err := io.ReadAll(call.Body)
	if err != nil {
		return
	}
	r, what, released := s.next(call.Header.Get(pod.HeaderExecutionID))
	answer := answerTo(body)
	if r.may(answersMuch) {
		answer = strings.Repeat(answer, store.MaxInline/len(answer)+2)
	}
	status := http.StatusOK
	switch what {
	case holds:
		select {
		case <-released:
		case <-call.Context().Done():
		}
	case fails:
		status = http.StatusInternalServerError
	case refuses:
		status = http.StatusNotFound
	case postpones:
		w.Header().Set("Retry-After", "1")
		status = http.StatusServiceUnavailable
	case breaks:
		panic(http.ErrAbortHandler)
	case streams, streamsAndBreaks:
		writePieces(w, answer, what == streamsAndBreaks)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer) // who called may be gone
}

// writePieces answers in pieces, and hangs up before the last if it breaks.
func writePieces(w http.ResponseWriter, answer string, broken bool) {
	half := len(answer) / 2
	_, _ = io.WriteString(w, answer[:half])
	_ = http.NewResponseController(w).Flush()
	if broken {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, answer[half:])
}
