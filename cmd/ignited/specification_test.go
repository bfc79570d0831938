package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// The specification's page "Direct FQDN invocation", sentence by sentence.
func TestSpecificationOfDirectFQDN(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "direct", procfileCode(probeArchive(t)), "")
	for sentence, holds := range map[string]func(*testing.T, *server){
		"Every published app gets one public URL per declared port, returned on AppMeta.public_urls": onePublicURLPerPort,
		"This is the fastest surface: a plain HTTP call straight to the pod, with no API hop or response framing, " +
			"the pod's raw response": directAnswersAreRaw,
		"Format: app-org for the default port 80, or app-org-port for any other port":                                     publicURLFormat,
		"A . in the app name is encoded as -dot- to keep a single DNS label":                                              dotsInNames,
		"When populated: only after the first publish (active_version > 0)":                                               publicURLsNeedAPublication,
		"in ports order: public_urls[0] is the primary URL":                                                               publicURLsAreInOrder,
		"Auth: still required. Direct FQDNs validate the Authorization Bearer token and enforce org match":                directNeedsToken,
		"The exception is apps in the public org, which any authenticated caller may invoke":                              directPublic,
		"No execution record: there's nothing to fetch with GetExecution afterward. Use InvokeAsync if you need a record": directLeavesNoRecord,
		"call any path/verb your app serves":                                                                              directPassesEverything,
		"a direct call is proxied straight to the pod (the gateway still counts it for billing)":                          directIsCounted,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			holds(t, s)
		})
	}
}

func onePublicURLPerPort(t *testing.T, s *server) {
	s.deploy(t, "ports", procfileCode(probeArchive(t)), `"ports":[80,8080,9090]`)
	if urls := s.publicURLs(t, "ports"); len(urls) != 3 {
		t.Errorf("3 ports have the URLs %q", urls)
	}
	if urls := s.publicURLs(t, "direct"); len(urls) != 1 {
		t.Errorf("an app that declares no port has the URLs %q", urls)
	}
}

func publicURLFormat(t *testing.T, s *server) {
	s.deploy(t, "format", procfileCode(probeArchive(t)), `"ports":[80,8080]`)
	s.wantURLs(t, "format", "format-acme-corp", "format-acme-corp-8080")
}

func dotsInNames(t *testing.T, s *server) {
	s.deploy(t, "a.dotted.name", procfileCode(probeArchive(t)), "")
	s.wantURLs(t, "a.dotted.name", "a-dot-dotted-dot-name-acme-corp")
	if answer := s.sendDirect(t, "a-dot-dotted-dot-name"); answer.StatusCode != http.StatusOK {
		t.Errorf("the app is not there: %s", answer.Status)
	}
}

func publicURLsNeedAPublication(t *testing.T, s *server) {
	s.must(t, "/v1/ignite/app/acme-corp", fmt.Sprintf(`{"name":"unpublished","code":%s}`, procfileCode(probeArchive(t))))
	if app := s.app(t, "unpublished"); app["publicUrls"] != nil || count(app, "activeVersion") != 0 {
		t.Errorf("before the first publication: %v", app)
	}
	if answer := s.sendDirect(t, "unpublished"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("before the first publication: %s", answer.Status)
	}
	s.must(t, "/v1/ignite/app/acme-corp/unpublished/draft/publish", `{}`)
	if app := s.app(t, "unpublished"); app["publicUrls"] == nil || count(app, "activeVersion") != 1 {
		t.Errorf("after the first publication: %v", app)
	}
	if answer := s.sendDirect(t, "unpublished"); answer.StatusCode != http.StatusOK {
		t.Errorf("after the first publication: %s", answer.Status)
	}
}

func publicURLsAreInOrder(t *testing.T, s *server) {
	s.deploy(t, "order", procfileCode(probeArchive(t)), `"ports":[9090,80]`)
	s.wantURLs(t, "order", "order-acme-corp-9090", "order-acme-corp")
	if saw := readAll(t, s.sendDirectTo(t, "order-acme-corp-9090")); !strings.Contains(saw, `"method":"GET"`) {
		t.Errorf("the primary port, which is $PORT, answered %q", saw)
	}
	if saw := readAll(t, s.sendDirectTo(t, "order-acme-corp")); saw != "port 80" {
		t.Errorf("port 80, which is $PORT_80, answered %q", saw)
	}
}

func directAnswersAreRaw(t *testing.T, s *server) {
	answer, err := http.DefaultClient.Do(s.direct(t, http.MethodGet, "direct", "/headers", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body := readAll(t, answer)
	if answer.StatusCode != http.StatusTeapot || body != "short and stout" || answer.ContentLength != int64(len(body)) {
		t.Errorf("%s, Content-Length %d: %q", answer.Status, answer.ContentLength, body)
	}
	if twice := answer.Header.Values("X-Twice"); len(twice) != 2 || len(answer.Trailer) != 0 {
		t.Errorf("headers %v, trailers %v", answer.Header, answer.Trailer)
	}
}

func directNeedsToken(t *testing.T, s *server) {
	for whose, want := range map[string]struct {
		token string
		code  int
	}{
		"nobody's":             {"", http.StatusUnauthorized},
		"one that is invented": {"a.b.c", http.StatusUnauthorized},
		"another org's":        {s.mint(t, "--org", "other"), http.StatusForbidden},
		"the org's":            {s.token, http.StatusOK},
	} {
		caller := *s
		caller.token = want.token
		if answer := caller.sendDirect(t, "direct"); answer.StatusCode != want.code {
			t.Errorf("with a token that is %s: %s, want %d", whose, answer.Status, want.code)
		}
	}
}

func directPublic(t *testing.T, s *server) {
	owner := *s
	owner.token = s.mint(t, "--org", "public")
	owner.must(t, "/v1/ignite/app/public", fmt.Sprintf(`{"name":"open","code":%s}`, procfileCode(probeArchive(t))))
	owner.must(t, "/v1/ignite/app/public/open/draft/publish", `{}`)
	if answer := s.sendDirectTo(t, "open-public"); answer.StatusCode != http.StatusOK {
		t.Errorf("another org's caller: %s", answer.Status)
	}
	nobody := *s
	nobody.token = ""
	if answer := nobody.sendDirectTo(t, "open-public"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a caller without a token: %s", answer.Status)
	}
}

func directLeavesNoRecord(t *testing.T, s *server) {
	s.deploy(t, "recordless", procfileCode(probeArchive(t)), "")
	saw := readAll(t, s.sendDirect(t, "recordless"))
	_, id, found := strings.Cut(saw, `"X-Ignite-Execution-Id":["`)
	id, _, _ = strings.Cut(id, `"`)
	if !found || !strings.HasPrefix(id, "exec_") {
		t.Fatalf("the pod saw %s", saw)
	}
	if status, answer := s.do(t, http.MethodGet, "/v1/ignite/executions/"+id, ""); status != http.StatusNotFound {
		t.Errorf("GetExecution: %d %v", status, answer)
	}
	if _, answer := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/recordless/executions", ""); answer["executions"] != nil {
		t.Errorf("ListExecutions: %v", answer)
	}
	if execution := s.await(t, s.submit(t, "recordless", `{}`)); execution["status"] != "EXECUTION_STATUS_COMPLETED" {
		t.Errorf("InvokeAsync left the record %v", execution)
	}
}

func directIsCounted(t *testing.T, s *server) {
	s.deploy(t, "counted", procfileCode(probeArchive(t)), "")
	for range 3 {
		s.sendDirect(t, "counted")
	}
	var usage map[string]any
	eventually(t, "three calls are counted", func() bool {
		_, usage = s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/counted/usage", "")
		return usage["answered"] == "3"
	})
	if usage["failed"] != "0" || usage["left"] != "0" {
		t.Errorf("counted: %v", usage)
	}
}

func directPassesEverything(t *testing.T, s *server) {
	for _, verb := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		answer, err := http.DefaultClient.Do(s.direct(t, verb, "direct", "/v1/any//path%2F?a=1&a=2;b", nil))
		if err != nil {
			t.Fatal(err)
		}
		saw := readAll(t, answer)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", verb, answer.Status)
		}
		if verb != "HEAD" && !strings.Contains(saw, fmt.Sprintf(`"method":%q,"uri":"/v1/any//path%%2F?a=1\u0026a=2;b"`, verb)) {
			t.Errorf("%s: the pod saw %s", verb, saw)
		}
	}
}

// app reads an app's AppMeta.
func (s *server) app(t *testing.T, name string) map[string]any {
	t.Helper()
	status, answer := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/"+name, "")
	app, _ := answer["app"].(map[string]any)
	if status != http.StatusOK || app == nil {
		t.Fatalf("get %s: %d %v", name, status, answer)
	}
	return app
}

func (s *server) publicURLs(t *testing.T, app string) (urls []string) {
	t.Helper()
	listed, _ := s.app(t, app)["publicUrls"].([]any)
	for _, url := range listed {
		urls = append(urls, fmt.Sprint(url))
	}
	return urls
}

// wantURLs checks that an app has URLs with these labels, in this order.
func (s *server) wantURLs(t *testing.T, app string, labels ...string) {
	t.Helper()
	_, port, _ := strings.Cut(s.http, ":")
	var want []string
	for _, label := range labels {
		want = append(want, "http://"+label+".ignite.localhost:"+port)
	}
	if got := s.publicURLs(t, app); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the public URLs of %s are %q, want %q", app, got, want)
	}
}

// sendDirectTo calls the host with that label before the base domain.
func (s *server) sendDirectTo(t *testing.T, label string) *http.Response {
	t.Helper()
	request := s.request(t, http.MethodGet, "/", nil)
	request.Host = label + ".ignite.localhost"
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// count reads a number of a JSON object, which leaves out those that are 0.
func count(object map[string]any, name string) int {
	n, _ := object[name].(float64)
	return int(n)
}

// state reads GetAppState.
func (s *server) state(t *testing.T, app string) map[string]any {
	t.Helper()
	status, state := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/"+app+"/state", "")
	if status != http.StatusOK {
		t.Fatalf("state of %s: %d %v", app, status, state)
	}
	return state
}

// awaitState waits until GetAppState is as it should be.
func (s *server) awaitState(t *testing.T, app, what string, so func(state map[string]any) bool) {
	t.Helper()
	var last map[string]any
	defer func() {
		if t.Failed() {
			t.Logf("the last state of %s is %v", app, last)
		}
	}()
	eventually(t, what, func() bool {
		last = s.state(t, app)
		return so(last)
	})
}

// hold makes a call by the app's host name that stays in its pod until release, which answers what that pod calls itself.
func (s *server) hold(t *testing.T, app string) (release func() (instance string)) {
	t.Helper()
	body, end := io.Pipe()
	request := s.request(t, http.MethodPost, "/instance", body)
	request.Host = app + "-acme-corp.ignite.localhost"
	var instance string
	var call sync.WaitGroup
	call.Go(func() {
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		if instance = readAll(t, answer); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", answer.Status, instance)
		}
	})
	release = sync.OnceValue(func() string {
		_ = end.Close()
		call.Wait()
		return instance
	})
	t.Cleanup(func() { release() })
	return release
}

// holdAll holds so many calls at once, until release, which answers in which pods they were.
func (s *server) holdAll(t *testing.T, app string, n int) (release func() (pods map[string]bool)) {
	t.Helper()
	var each []func() string
	for range n {
		each = append(each, s.hold(t, app))
	}
	return func() map[string]bool {
		pods := map[string]bool{}
		for _, release := range each {
			pods[release()] = true
		}
		return pods
	}
}
