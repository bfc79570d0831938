package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestSilentWatchHasAHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := httptest.NewRecorder()
		out := &lines{w: answer, flusher: http.NewResponseController(answer)}
		frame := &ignitev1.WatchExecutionResponse{Attempt: 1}
		if err := out.frame(frame); err != nil {
			t.Fatal(err)
		}
		time.Sleep(heartbeat - time.Second) //nolint:forbidigo // free in a bubble
		if err := out.frame(frame); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*heartbeat + time.Second) //nolint:forbidigo // free in a bubble
		out.close()
		time.Sleep(time.Hour) //nolint:forbidigo // free in a bubble
		want := "{\"attempt\":1}\n{\"attempt\":1}\n\n\n"
		if got := answer.Body.String(); got != want || !answer.Flushed {
			t.Errorf("lines are %q, want %q", got, want)
		}
	})
}
