package gateway_test

import (
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// open lets callers without a token call hello of acme, and pages of origins read its answers.
func (s *setup) open(t *testing.T, unauthenticated bool, origins ...string) {
	t.Helper()
	if len(origins) == 0 {
		origins = []string{""} // takes away those that were
	}
	must(s.client.UpdateAppConfig(s.as(t, "acme"), &ignitev1.UpdateAppConfigRequest{
		OrganizationName: "acme", AppName: "hello", AllowUnauthenticated: &unauthenticated, CorsOrigins: origins,
	}))
}

// saysWhoCalls answers with what the pod gets to know of its caller.
func saysWhoCalls(w http.ResponseWriter, r *http.Request) {
	say(w, "%q of %q", r.Header.Get("Authorization"), r.Header.Get("X-Ignite-Organization-Id"))
}

func bearing(authorization string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Header.Del("Authorization"); authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
	}
}

func asPage(origin string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Origin", origin) }
}

func TestOpenAppTakesCallersWithoutAToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(saysWhoCalls))
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing("")), 401, codes.Unauthenticated)
	s.open(t, true)
	for authorization, want := range map[string]string{
		"":                                      `"" of ""`,
		"Basic dTpw":                            `"Basic dTpw" of ""`,
		"Bearer of-the-app":                     `"Bearer of-the-app" of ""`,
		"Bearer " + s.token("acme"):             `"" of "acme-id"`,
		"Bearer " + s.token("others"):           `"" of "others-id"`,
		"Bearer " + s.token("others", "GetApp"): `"" of "others-id"`,
	} {
		if got := readAll(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing(authorization))); got != want {
			t.Errorf("with %.20q the pod sees %s, want %s", authorization, got, want)
		}
	}
	// The API stays closed.
	wantProblem(t, s.do(t, "POST", helloInvoke, "{}", bearing("")), 401, codes.Unauthenticated)
	s.open(t, false)
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing("")), 401, codes.Unauthenticated)
}

func TestAnonymousCallersAreNotToldAPodsLastLines(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	s.open(t, true)
	s.pods.set(func(p *pods) { p.fail = &pod.StartError{Pod: "x", Reason: "it exited", Log: []string{"secret"}} })
	p := wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing("")), 503, codes.Unavailable, "did not start: it exited")
	if len(p.Message) > 100 {
		t.Errorf("message is %q", p.Message)
	}
}

func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own" {
			w.Header().Set("Access-Control-Allow-Origin", "https://own.test")
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	const page = "https://page.test"
	allowed := func(path string, change ...func(*http.Request)) string {
		return s.do(t, "GET", path, "", append(change, to("hello-acme"), asPage(page))...).Header.Get("Access-Control-Allow-Origin")
	}
	if got := allowed("/"); got != "" {
		t.Errorf("an app that says nothing allows %q", got)
	}
	s.open(t, false, page)
	if got := allowed("/"); got != page {
		t.Errorf("an app that allows a page allows %q", got)
	}
	if got := allowed("/", bearing("")); got != page {
		t.Errorf("a page may not read why it is refused: %q", got)
	}
	if got := allowed("/own"); got != "https://own.test" {
		t.Errorf("the pod's own mind became %q", got)
	}
	s.open(t, true, "https://other.test")
	response := s.do(t, "GET", "/", "", to("hello-acme"), asPage(page))
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "" || response.Header.Get("Vary") != "Origin" {
		t.Errorf("another page is allowed: %q, Vary %q", got, response.Header.Get("Vary"))
	}
	s.open(t, true)
	if got := allowed("/", bearing("")); got != page {
		t.Errorf("an open app allows %q", got)
	}
}

func TestPreflightWakesNoPod(t *testing.T) {
	t.Parallel()
	s := start(t)
	asked := make(chan struct{}, 10)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.WriteHeader(http.StatusTeapot)
	}))
	preflight := func(change ...func(*http.Request)) reply {
		return s.do(t, "OPTIONS", "/x", "", append(change, to("hello-acme"), asPage("https://page.test"), func(r *http.Request) {
			r.Header.Set("Access-Control-Request-Method", "PUT")
			r.Header.Set("Access-Control-Request-Headers", "authorization, x-mine")
		})...)
	}
	// An app that says nothing of origins answers by itself.
	wantProblem(t, preflight(bearing("")), 401, codes.Unauthenticated)
	if response := preflight(); response.StatusCode != http.StatusTeapot || len(asked) != 1 {
		t.Errorf("the pod was asked %d times, and the answer is %d", len(asked), response.StatusCode)
	}
	<-asked
	s.open(t, false, "https://page.test")
	response := preflight(bearing(""))
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://page.test", "Access-Control-Allow-Methods": "PUT",
		"Access-Control-Allow-Headers": "authorization, x-mine", "Access-Control-Allow-Credentials": "",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	s.open(t, false, "https://other.test")
	refused := preflight(bearing(""))
	if refused.StatusCode != http.StatusNoContent || refused.Header.Get("Access-Control-Allow-Origin") != "" || len(asked) != 0 {
		t.Errorf("answer is %d with %v, the pod was asked %d times", refused.StatusCode, refused.Header, len(asked))
	}
	// Plain OPTIONS is the app's.
	if response := s.do(t, "OPTIONS", "/", "", to("hello-acme")); response.StatusCode != http.StatusTeapot {
		t.Errorf("answer is %d", response.StatusCode)
	}
}
