package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestSilentWatchHasAHeartbeat(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                  "{\"attempt\":1}\n{\"attempt\":1}\n\n\n",
		"text/event-stream": "event: chunk\nid: 1.0\ndata: {\"attempt\":1}\n\nevent: chunk\nid: 1.0\ndata: {\"attempt\":1}\n\n:\n\n:\n\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			answer, request := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			request.Header.Set("Accept", accept)
			out := newWatchAnswer(answer, request)
			frame := &ignitev1.WatchExecutionResponse{Attempt: 1}
			if err := out.frame(frame); err != nil {
				t.Fatal(err)
			}
			time.Sleep(heartbeat - time.Second) //nolint:forbidigo // free in a bubble
			if err := out.frame(frame); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2*heartbeat + time.Second) //nolint:forbidigo // free in a bubble
			out.pulse.stop()
			time.Sleep(time.Hour) //nolint:forbidigo // free in a bubble
			if got := answer.Body.String(); got != want || !answer.Flushed {
				t.Errorf("accepting %q the answer is %q, want %q", accept, got, want)
			}
		})
	}
}

func TestSilentWatchOverGRPCHasAHeartbeatIfAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var sent []string
		send, stop := withHeartbeats(func(frame *ignitev1.WatchExecutionResponse) error {
			sent = append(sent, fmt.Sprint(time.Since(began), frame.GetHeartbeat()))
			return nil
		})
		for _, pause := range []time.Duration{0, heartbeat - time.Second, 2*heartbeat + time.Second} {
			time.Sleep(pause) //nolint:forbidigo // free in a bubble
			if err := send(&ignitev1.WatchExecutionResponse{Attempt: 1}); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		time.Sleep(time.Hour) //nolint:forbidigo // free in a bubble
		want := []string{"0s false", "14s false", "29s true", "44s true", "45s false"}
		if !slices.Equal(sent, want) {
			t.Errorf("sent were %v, want %v", sent, want)
		}
	})
}

func TestWhoWantsEvents(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "text/event-stream": true, "text/html, TEXT/event-stream; q=0.9": true, "text/event-streams": false,
	} {
		if got := wantsEvents(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("%q wants events: %v", accept, got)
		}
	}
}

func FuzzEventID(f *testing.F) {
	for _, id := range []string{"1.0", "2.17", "0.0", "1", "1.-1", "01.0", "4294967296.0", "1.9223372036854775807", "end"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		attempt, index, ok := parseEventID(id)
		if !ok {
			return
		}
		if again := eventID(attempt, index); again != id || attempt == 0 || index < 0 || index+1 < 0 || strings.ContainsAny(id, "\r\n") {
			t.Errorf("%q is chunk %d of attempt %d, which is %q", id, index, attempt, again)
		}
	})
}
