package python

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

func moduleStateAndThreadsLiveOn(t *testing.T, w way) {
	p := w.start(t, `
import queue, threading
jobs, done = queue.Queue(), []
def work():
    while True:
        done.append(jobs.get())
        print("worked on", done[-1])
threading.Thread(target=work, daemon=True).start()
def handler(payload, ctx):
    if payload == b"list":
        return done
    jobs.put(payload.decode())
    return b""
`)
	for _, job := range []string{"a", "b"} {
		if a := p.post(job, nil); a.status != http.StatusOK {
			t.Fatal(a)
		}
		p.waitFor("worked on " + job)
	}
	if a := p.post("list", nil); a.body != `["a", "b"]` {
		t.Errorf("got %v", a)
	}
}

func callsRunSideBySide(t *testing.T, w way) {
	p := w.start(t, `
import threading
everybody = threading.Barrier(50)
def handler(payload, ctx):
    everybody.wait()
    return payload
`)
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			if a := p.post(fmt.Sprint(i), nil); a.body != fmt.Sprint(i) {
				t.Errorf("call %d got %v", i, a)
			}
		})
	}
	calls.Wait()
}

func concurrencyIsBounded(t *testing.T, w way) {
	dir := codeIn(t, map[string]string{"handler.py": `
import threading
lock, running, most = threading.Lock(), 0, 0
pair = threading.Barrier(2)
def handler(payload, ctx):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    pair.wait()
    with lock:
        running -= 1
    return most
`})
	p := w.startIn(t, New(t.TempDir()), dir, "IGNITE_MAX_CONCURRENCY=2")
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if a := p.post("", nil); a.body != "2" && a.body != "1" {
				t.Errorf("got %v", a)
			}
		})
	}
	calls.Wait()
}
