package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

func testDraft(s *setup, ctx context.Context, body string) (*ignitev1.TestResult, error) { //nolint:revive // the setup comes first
	answer, err := s.client.TestDraft(ctx, &ignitev1.TestDraftRequest{
		OrganizationName: "acme", AppName: "hello", Body: []byte(body),
		Http: &ignitev1.HttpContext{Path: "/some/path", Query: "a=b", Headers: map[string]string{"X-Own": "mine"}},
	})
	return answer.GetResult(), err
}

// seen answers what it was asked, 201.
func seen(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header()["X-Two"] = []string{"1", "2"}
	w.WriteHeader(http.StatusCreated)
	say(w, "%s %s %s %s %s", r.Method, r.URL, r.Header.Get("X-Own"), r.Header.Get("X-Ignite-Function-Id"), body)
}

func TestTestDraft(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(seen))
	config := &ignitev1.UpdateAppConfigRequest{OrganizationName: "acme", AppName: "hello", Env: map[string]string{"A": "1"}}
	must(s.client.UpdateAppConfig(s.as(t, "acme"), config))
	saved := must(s.save(t, "hello", "built from this"))
	_, err := testDraft(s, s.as(t, "acme"), "x")
	wantCode(t, err, codes.FailedPrecondition, "not compiled")
	must(s.compile(t, "hello"))
	result := must(testDraft(s, s.as(t, "acme"), "payload"))
	if got := string(result.GetBody()); got != "POST /some/path?a=b mine acme/hello payload" || result.GetStatusCode() != 201 || result.GetError() != nil {
		t.Errorf("got %d %q, %v", result.GetStatusCode(), got, result.GetError())
	}
	if !slices.Equal(result.GetLogLines(), []string{"started"}) || result.GetDurationMs() < result.GetColdStartMs() {
		t.Errorf("got %v", result)
	}
	two := 0
	for _, field := range result.GetResponseHeaders() {
		if field.GetName() == "x-two" {
			two++
		}
	}
	if two != 2 {
		t.Errorf("the headers are %v", result.GetResponseHeaders())
	}
	tried := s.pods.tried[len(s.pods.tried)-1]
	if tried.Number != 0 || tried.Env["A"] != "1" || tried.Code.Hash != saved.GetCodeHash() || tried.ArtifactHash == tried.Code.Hash {
		t.Errorf("tried was %+v", tried)
	}
	if versions := must(s.client.ListAppVersions(s.as(t, "acme"), &ignitev1.ListAppVersionsRequest{OrganizationName: "acme", AppName: "hello"})); len(versions.GetVersions()) != 1 {
		t.Errorf("it left the versions %v", versions)
	}
}

func TestTestDraftThatNeedsNoBuild(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(seen))
	saved := must(s.save(t, "hello", "run as it is"))
	result := must(testDraft(s, s.as(t, "acme"), ""))
	if tried := s.pods.tried[0]; result.GetStatusCode() != 201 || tried.ArtifactHash != saved.GetCodeHash() {
		t.Errorf("got %v of %+v", result, tried)
	}
	if info := must(s.client.GetDraftInfo(s.as(t, "acme"), &ignitev1.GetDraftInfoRequest{OrganizationName: "acme", AppName: "hello"})); info.GetDraft().GetStatus() != ignitev1.VersionStatus_VERSION_STATUS_DRAFT {
		t.Errorf("the draft is %v", info)
	}
}

func TestTestDraftWithoutOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := testDraft(s, s.as(t, "acme"), "")
	wantCode(t, err, codes.NotFound, "no app hello")
	s.publish(t, "acme", "hello", http.HandlerFunc(seen))
	_, err = testDraft(s, s.as(t, "acme"), "")
	wantCode(t, err, codes.FailedPrecondition, "no draft")
	must(s.save(t, "hello", "broken code"))
	must(s.compile(t, "hello"))
	_, err = testDraft(s, s.as(t, "acme"), "")
	wantCode(t, err, codes.FailedPrecondition, "does not compile")
	_, err = testDraft(s, s.as(t, "other"), "")
	wantCode(t, err, codes.PermissionDenied)
	_, err = testDraft(s, s.as(t, "acme", "InvokeApp"), "")
	wantCode(t, err, codes.PermissionDenied, "DeployApp")
	_, err = testDraft(s, s.as(t, "acme"), strings.Repeat("x", testPayload+1))
	wantCode(t, err, codes.FailedPrecondition) // what there is to call comes first
	if n := len(s.pods.tried); n != 0 {
		t.Errorf("%d pods were started", n)
	}
}

func TestTestAppVersion(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(seen))
	must(s.save(t, "hello", "run as it is"))
	must(s.publishDraft(t, "hello"))
	test := func(version uint32) (*ignitev1.TestResult, error) {
		answer, err := s.client.TestAppVersion(s.as(t, "acme"), &ignitev1.TestAppVersionRequest{OrganizationName: "acme", AppName: "hello", Version: version})
		return answer.GetResult(), err
	}
	for _, version := range []uint32{1, 2} {
		result := must(test(version))
		if tried := s.pods.tried[version-1]; result.GetStatusCode() != 201 || tried.Number != version {
			t.Errorf("version %d: got %v of %+v", version, result, tried)
		}
	}
	_, err := test(3)
	wantCode(t, err, codes.NotFound, "no version 3")
	_, err = test(0)
	wantCode(t, err, codes.InvalidArgument)
	over := s.do(t, "POST", anApp+"/versions/1/test", `{"http":{"method":"HTTP_METHOD_PUT","path":"/x"},"body":"aGk="}`)
	var got struct {
		Result struct {
			StatusCode int
			Body       []byte
			LogLines   []string
		}
	}
	if err := json.Unmarshal([]byte(readAll(t, over)), &got); err != nil || string(got.Result.Body) != "PUT /x  acme/hello hi" || got.Result.StatusCode != 201 {
		t.Errorf("over HTTP: got %+v, %v", got, err)
	}
}

// What goes wrong in the pod is what the caller wanted to see, and what goes wrong before is an error.
func TestWhatATrialCannotAnswer(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, code, want string
		err              error
		status           codes.Code
	}{
		{"no start", "POD_START_FAILED", "exit status 1", &pod.StartError{Pod: "p", Reason: "exit status 1", Log: []string{"secret line"}}, 0},
		{"no time", "TIMEOUT_COLD_START", "cold", &pod.TimeoutError{Clock: pod.ClockColdStart, Limit: time.Second}, 0},
		{"no pod", "POD_UNREACHABLE", "unreachable", fmt.Errorf("dial: %w", pod.ErrUnreachable), 0},
		{"broken", "POD_BROKEN", "ended: killed", errors.Join(pod.ErrBroken, &pod.ExitError{Pod: "p", Reason: "killed"}), 0},
		{"no memory", "OUT_OF_MEMORY", "ended: killed", &pod.ExitError{Pod: "p", Reason: "killed", Err: pod.ErrOutOfMemory}, 0},
		{"busy", "", "", pod.ErrBusy, codes.ResourceExhausted},
		{"gone", "", "", pod.ErrAppGone, codes.NotFound},
		{"unknown", "", "", errors.New("who knows"), codes.Internal},
	}
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(seen))
	must(s.save(t, "hello", "run as it is"))
	for _, c := range cases {
		s.pods.set(func(p *pods) { p.fail = c.err })
		result, err := testDraft(s, s.as(t, "acme"), "")
		if c.status != 0 {
			wantCode(t, err, c.status)
			continue
		}
		if err != nil || result.GetError().GetCode() != c.code || !strings.Contains(result.GetError().GetMessage(), c.want) || len(result.GetLogLines()) != 1 {
			t.Errorf("%s: got %v, %v", c.name, result, err)
		}
		if strings.Contains(result.GetError().GetMessage(), "secret line") {
			t.Errorf("%s: the log is in the message too: %v", c.name, result)
		}
	}
}

func TestTrialsOfWhatAnswersBadly(t *testing.T) {
	t.Parallel()
	s := start(t)
	cases := map[string]http.HandlerFunc{
		"RESULT_TOO_LARGE": func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", strings.Repeat("x", testPayload+1)) },
		"POD_BROKEN": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "half")
		},
		"": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
	}
	s.publish(t, "acme", "hello", http.HandlerFunc(seen))
	must(s.save(t, "hello", "run as it is"))
	ref := store.AppRef{Org: "acme", Name: "hello"}
	for code, handler := range cases {
		s.pods.serve(t, ref, handler)
		result, err := testDraft(s, s.as(t, "acme"), "")
		if err != nil || result.GetError().GetCode() != code || result.GetStatusCode() == 0 || len(result.GetBody()) == 0 || len(result.GetBody()) > testPayload {
			t.Errorf("%q: got %d with %d bytes, %v, %v", code, result.GetStatusCode(), len(result.GetBody()), result.GetError(), err)
		}
	}
}

func TestTrialsDoNotPassTheTokenOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { say(w, "%v", r.Header["Authorization"]) }))
	must(s.save(t, "hello", "run as it is"))
	answer := must(s.client.TestDraft(s.as(t, "acme"), &ignitev1.TestDraftRequest{
		OrganizationName: "acme", AppName: "hello", Http: &ignitev1.HttpContext{Headers: map[string]string{"Authorization": "Basic app"}},
	}))
	if got := string(answer.GetResult().GetBody()); got != "[Basic app]" {
		t.Errorf("the pod saw %s", got)
	}
}
