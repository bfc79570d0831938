package ignite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
)

// serve answers calls until ctx ends, and then those that it has.
func serve(ctx context.Context, listener net.Listener, handler Handler) error {
	server := &http.Server{Handler: handler}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- server.Shutdown(context.Background()) })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}

// ServeHTTP makes a Handler an http.Handler, for tests and for programs that have a server of their own.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		h.answer(w, r)
	case http.MethodGet, http.MethodHead:
		write(w, http.StatusOK, "application/json", []byte(`{"status":"ok"}`))
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "a function is called with POST", http.StatusMethodNotAllowed)
	}
}

func (h Handler) answer(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("read the payload: %w", err))
		return
	}
	result, err := h.call(payload, newContext(r))
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	write(w, http.StatusOK, "application/octet-stream", result)
}

// call makes a panic an error: it is the fault of one call, and the process serves others. Either is in the app's log.
func (h Handler) call(payload []byte, ctx *Context) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			log.Printf("%s: %v\n%s", nameOf(ctx), err, debug.Stack())
		}
	}()
	result, err = h(payload, ctx)
	if err != nil {
		log.Printf("%s: %v", nameOf(ctx), err)
	}
	return result, err
}

func nameOf(ctx *Context) string { return cmp.Or(ctx.ExecutionID, "call") }

func fail(w http.ResponseWriter, status int, err error) {
	// Sprint survives an error whose Error panics, and a map of strings always has a JSON form.
	text, _ := json.Marshal(map[string]string{"error": fmt.Sprint(err)})
	write(w, status, "application/json", text)
}

func write(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller who left needs no answer
}
