package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	defaultChunks = 10
	maxChunks     = 10_000
	maxBody       = 64 << 10
)

const about = `POST / streams a line every 200 ms.
How many is said by ?chunks=N, or by {"chunks": N} in the body; without either it is 10.
`

func newHandler(pause time.Duration) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, about) })
	routes.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		count, err := chunksOf(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		stream(w, r, count, pause)
	})
	return routes
}

// chunksOf answers how many chunks the caller wants.
func chunksOf(r *http.Request) (int, error) {
	wanted := struct {
		Chunks int `json:"chunks"`
	}{defaultChunks}
	if query := r.URL.Query().Get("chunks"); query != "" {
		n, err := strconv.Atoi(query)
		if err != nil {
			return 0, fmt.Errorf("chunks: %q is not a number", query)
		}
		wanted.Chunks = n
	} else if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&wanted); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("the body is not of the form {\"chunks\": 10}: %w", err)
	}
	if wanted.Chunks < 1 || wanted.Chunks > maxChunks {
		return 0, fmt.Errorf("chunks: %d is not between 1 and %d", wanted.Chunks, maxChunks)
	}
	return wanted.Chunks, nil
}

// stream sends count lines with a pause between them. Each is flushed, so that it leaves at once; a caller who has gone ends it.
func stream(w http.ResponseWriter, r *http.Request, count int, pause time.Duration) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	flusher := http.NewResponseController(w)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range count {
		if _, err := fmt.Fprintf(w, "chunk %d of %d\n", i+1, count); err != nil {
			return
		}
		if err := flusher.Flush(); err != nil {
			return
		}
		if i == count-1 {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
