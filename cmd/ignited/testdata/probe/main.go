// Command probe is the pod of the end-to-end tests: it does what the path says.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	switch os.Getenv("PROBE") {
	case "exit":
		fmt.Println("probe cannot work like this")
		os.Exit(3)
	case "deaf":
		fmt.Println("probe listens to nobody")
		time.Sleep(time.Hour)
	case "late":
		late, _ := time.ParseDuration(os.Getenv("LISTEN_AFTER"))
		time.Sleep(late)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	serveFurtherPorts()
	fmt.Println("probe started")
	log.Fatal(http.Serve(listener, http.HandlerFunc(route)))
}

// serveFurtherPorts answers on each port that the app declares beside the first which one it is.
func serveFurtherPorts() {
	for _, variable := range os.Environ() {
		declared, local, found := strings.Cut(variable, "=")
		if declared, ok := strings.CutPrefix(declared, "PORT_"); ok && found {
			go func() { // serves as long as the process lives
				log.Fatal(http.ListenAndServe("127.0.0.1:"+local, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, "port "+declared)
				})))
			}()
		}
	}
}

// instance tells one process from another, also where each believes it is the first.
var instance = rand.Text()

// route is no ServeMux, which would tidy the paths that the tests want to see as they came.
func route(w http.ResponseWriter, r *http.Request) {
	handlers := map[string]http.HandlerFunc{
		"/echo": echo, "/status": status, "/stream": stream, "/break": breakOff, "/hold": hold, "/headers": headers,
		"/pid": pid,
		"/instance": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // which lets the caller decide when it ends
			_, _ = fmt.Fprint(w, instance)
		},
		"/exit": func(http.ResponseWriter, *http.Request) { os.Exit(7) },
	}
	if handler, ok := handlers[r.URL.Path]; ok {
		handler(w, r)
		return
	}
	saw(w, r)
}

// saw answers what the pod was given, as JSON.
func saw(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "headers": r.Header, "body": body, "host": r.Host,
	})
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	_, _ = io.Copy(w, r.Body)
}

func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.URL.Query().Get("code"))
	if err != nil {
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "status %d", code)
}

// stream sends n chunks, each at its time.
func stream(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	every, _ := time.ParseDuration(r.URL.Query().Get("every"))
	w.Header().Set("Trailer", "X-Sum")
	for i := range n {
		_, _ = fmt.Fprintf(w, "chunk %d\n", i)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(every):
		case <-r.Context().Done():
			fmt.Println("caller left the stream")
			return
		}
	}
	w.Header().Set("X-Sum", strconv.Itoa(n))
}

// breakOff fails in the middle of its answer.
func breakOff(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprint(w, "half of it")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// pid answers the process id that the server knows, which is not the one that a pod has in its own namespace.
func pid(w http.ResponseWriter, _ *http.Request) {
	outside, err := os.Readlink("/proc/self")
	if err != nil {
		outside = strconv.Itoa(os.Getpid())
	}
	_, _ = fmt.Fprint(w, outside)
}

// hold answers when the address that the body names answers with 200, so that a test decides when a call ends.
func hold(w http.ResponseWriter, r *http.Request) {
	address, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fmt.Println("holding")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if isOpen(string(address)) {
			_, _ = fmt.Fprint(w, "released")
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func isOpen(address string) bool {
	response, err := http.Get(address)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

func headers(w http.ResponseWriter, _ *http.Request) {
	w.Header().Add("X-Twice", "one")
	w.Header().Add("X-Twice", "two")
	w.Header().Set("X-Ignite-Execution-Id", "a lie")
	w.WriteHeader(http.StatusTeapot)
	_, _ = fmt.Fprint(w, "short and stout")
}
