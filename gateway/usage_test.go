package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/gateway"
)

// counts is an app's usage as the API answers it.
type counts struct {
	AppID, Answered, Left, Failed string
}

// usage waits until the app's usage is want.
func (s *setup) usage(t *testing.T, want counts) {
	t.Helper()
	var got counts
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		text := readAll(t, s.do(t, "GET", "/v1/ignite/app/acme/hello/usage", ""))
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got == want {
			return
		}
		<-tick.C
	}
	t.Errorf("usage is %+v, want %+v", got, want)
}

func TestDirectCallsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := start(t, func(c *gateway.Config) { c.Registry = registry })
	arrived := make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			close(arrived)
			<-r.Context().Done()
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/half":
			say(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	for _, path := range []string{"/", "/", "/broken", "/half"} {
		_, _ = io.ReadAll(s.do(t, "GET", path, "", to("hello-acme")).Body) // one of them breaks off
	}
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing("")), 401, codes.Unauthenticated)
	ctx, leave := context.WithCancel(t.Context())
	r := must(http.NewRequestWithContext(ctx, "GET", "http://"+s.api+"/wait", nil))
	r.Host = "hello-acme." + testDomain
	r.Header.Set("Authorization", "Bearer "+s.token("acme"))
	go func() {
		<-arrived
		leave()
	}()
	if response, err := http.DefaultTransport.RoundTrip(r); err == nil {
		_ = response.Body.Close()
		t.Error("the caller did not leave")
	}
	s.pods.set(func(p *pods) { p.fail = &pod.StartError{Pod: "x", Reason: "it exited"} })
	s.do(t, "GET", "/", "", to("hello-acme"))
	s.usage(t, counts{AppID: "acme/hello", Answered: "3", Left: "1", Failed: "2"})
	var all struct{ Apps []counts }
	if err := json.Unmarshal([]byte(readAll(t, s.do(t, "GET", "/v1/ignite/usage?organizationName=acme", ""))), &all); err != nil || len(all.Apps) != 1 || all.Apps[0].Answered != "3" {
		t.Errorf("usage of the organization is %+v, %v", all, err)
	}
	wantProblem(t, s.do(t, "GET", "/v1/ignite/usage?organizationName=other", ""), 403, codes.PermissionDenied)
	wantProblem(t, s.do(t, "GET", "/v1/ignite/app/acme/hello/usage", "", bearing("Bearer "+s.token("acme", "InvokeApp"))), 403, codes.PermissionDenied, "GetApp")
	want := map[string]float64{"2xx": 2, "499": 1, "5xx": 3, "4xx": 1}
	for _, family := range must(registry.Gather()) {
		for _, m := range family.GetMetric() {
			if status := m.GetLabel()[0].GetValue(); m.GetCounter().GetValue() != want[status] {
				t.Errorf("%v calls have status %s, want %v", m.GetCounter().GetValue(), status, want[status])
			}
		}
	}
}

func TestCountsSurviveAStop(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	for range 10 {
		s.do(t, "GET", "/", "", to("hello-acme"))
	}
	s.stop()
	<-s.stopped
	if usage := must(s.store.Usage(t.Context(), ref)); usage.Answered != 10 {
		t.Errorf("usage is %+v", usage)
	}
}
