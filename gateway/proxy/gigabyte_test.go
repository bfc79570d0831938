package proxy_test

import (
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"
)

// zeros are so many bytes that were never in memory.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// count is where bytes go to be counted.
type count struct{ n int64 }

func (c *count) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Not parallel: what other tests allocate would count.
func TestAGigabyteUpAndDownInConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves four gigabytes")
	}
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.Itoa(gigabyte))
			_, _ = io.Copy(w, zeros(gigabyte))
			return
		}
		var got count
		if _, err := io.Copy(&got, r.Body); err != nil || got.n != gigabyte {
			t.Errorf("server got %d bytes, %v", got.n, err)
		}
	}))
	for name, client := range map[string]*http.Client{"HTTP/1.1": overHTTP1(t), "HTTP/2": overHTTP2(t)} {
		up := request(t, "PUT", s.front, "")
		up.ContentLength, up.Body = gigabyte, io.NopCloser(zeros(gigabyte))
		inConstantMemory(t, name+" up", func() { do(t, client, up) })
		inConstantMemory(t, name+" down", func() {
			response := must(client.Do(request(t, "GET", s.front, "")))
			defer func() { _ = response.Body.Close() }()
			var got count
			if _, err := io.Copy(&got, response.Body); err != nil || got.n != gigabyte {
				t.Errorf("%s: caller got %d bytes, %v", name, got.n, err)
			}
		})
	}
}

// inConstantMemory checks that whatever call allocates is a small part of what it moves.
func inConstantMemory(t *testing.T, name string, call func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	// HTTP/2's frames on the sides of the caller and the server are allocated in part, and collected; the heap does not grow by them.
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("%s: the heap grew by %d MiB", name, grown>>20)
	}
	t.Logf("%s: allocated %d KiB in all", name, (after.TotalAlloc-before.TotalAlloc)>>10)
}
