package podtest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// world is what the program has around it, be that a machine or only a test.
type world interface {
	environment() []string
	folder() string
	print(line string)
	// crash ends the program with exitCode.
	crash()
	// child starts another program, which holds a lifeline to the address; alone makes it leave the process group.
	child(lifeline string, alone bool) error
}

// handler is what the program serves.
func handler(w world) http.Handler {
	mux := http.NewServeMux()
	handleHealth(mux)
	handleWorld(mux, w)
	handleStream(mux)
	handleConfined(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	return mux
}

func handleHealth(mux *http.ServeMux) {
	var looked atomic.Int32
	mux.HandleFunc("/healthy-at-third-look", func(w http.ResponseWriter, _ *http.Request) {
		if looked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/looks", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, looked.Load()) })
	mux.HandleFunc("/never-healthy", http.NotFound)
}

func handleWorld(mux *http.ServeMux, world world) {
	mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(world.environment(), "\n"))
	})
	mux.HandleFunc("/folder", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, world.folder()) })
	mux.HandleFunc("/log", func(_ http.ResponseWriter, r *http.Request) { world.print(r.URL.Query().Get("line")) })
	mux.HandleFunc("/crash", func(_ http.ResponseWriter, r *http.Request) {
		world.crash()
		<-r.Context().Done()
	})
	mux.HandleFunc("/child", func(w http.ResponseWriter, r *http.Request) {
		if err := world.child(r.URL.Query().Get("lifeline"), r.URL.Query().Has("alone")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func handleStream(mux *http.ServeMux) {
	released := make(chan struct{}, 1)
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "one")
		_ = http.NewResponseController(w).Flush()
		<-released
		fmt.Fprint(w, "two")
	})
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { released <- struct{}{} })
}

// handleConfined is for tests of confinement, which ask for what must fail: the answers say what came of it.
func handleConfined(mux *http.ServeMux) {
	mux.HandleFunc("/read", readFile)
	mux.HandleFunc("/write", writeFile)
	mux.HandleFunc("/dial", dial)
	mux.HandleFunc("/allocate", allocate)
}

func readFile(w http.ResponseWriter, r *http.Request) {
	content, err := os.ReadFile(r.URL.Query().Get("file"))
	if err != nil {
		content = []byte(err.Error())
	}
	_, _ = w.Write(content)
}

func writeFile(w http.ResponseWriter, r *http.Request) {
	if err := os.WriteFile(r.URL.Query().Get("file"), []byte("x"), 0o600); err != nil {
		fmt.Fprint(w, err)
		return
	}
	fmt.Fprint(w, "written")
}

func dial(w http.ResponseWriter, r *http.Request) {
	conn, err := net.DialTimeout("tcp", r.URL.Query().Get("address"), time.Second)
	if err != nil {
		fmt.Fprint(w, err)
		return
	}
	defer conn.Close()
	fmt.Fprint(w, "connected")
}

// allocate takes memory and uses it, since what is not used is not counted.
func allocate(w http.ResponseWriter, r *http.Request) {
	megabytes, err := strconv.Atoi(r.URL.Query().Get("mb"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, len(bytes.Repeat([]byte{1}, megabytes<<20)))
}
