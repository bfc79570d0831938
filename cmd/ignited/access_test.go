package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Who may, and what bad input gets, over plain HTTP.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--max-payload-bytes", "1MiB")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	mine := s.submit(t, "probe", `{}`)
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp", `{"name":"unpublished"}`); status != http.StatusOK {
		t.Fatalf("create: %d %v", status, answer)
	}
	owner := s.token
	other := s.mint(t, "--org", "other")
	reader := s.mint(t, "--org", "acme-corp", "--scope", "GetApp")
	tooLarge := fmt.Sprintf(`{"body":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 1<<20+1)))

	for name, c := range map[string]struct {
		token, method, path, body string
		status                    int
		says                      string
	}{
		"no token":              {"", "GET", "/v1/ignite/app/acme-corp", "", 401, "token"},
		"a token of nobody":     {"abc.def.ghi", "GET", "/v1/ignite/app/acme-corp", "", 401, "token"},
		"wrong organization":    {other, "GET", "/v1/ignite/app/acme-corp/probe", "", 403, "acme-corp"},
		"wrong org invokes":     {other, "POST", "/v1/ignite/app/acme-corp/probe/invoke", "{}", 403, "acme-corp"},
		"wrong org submits":     {other, "POST", "/v1/ignite/app/acme-corp/probe/invoke-async", "{}", 403, "acme-corp"},
		"missing scope":         {reader, "POST", "/v1/ignite/app/acme-corp/probe/invoke", "{}", 403, "InvokeApp"},
		"missing deploy scope":  {reader, "DELETE", "/v1/ignite/app/acme-corp/probe", "", 403, "DeployApp"},
		"another's execution":   {other, "GET", "/v1/ignite/executions/" + mine, "", 404, "execution"},
		"another's watch":       {other, "GET", "/v1/ignite/executions/" + mine + "/watch", "", 404, "execution"},
		"unknown execution":     {owner, "GET", "/v1/ignite/executions/exec_00000000000000000000000000", "", 404, "execution"},
		"unknown app":           {owner, "GET", "/v1/ignite/app/acme-corp/nobody", "", 404, "nobody"},
		"unknown app invoked":   {owner, "POST", "/v1/ignite/app/acme-corp/nobody/invoke", "{}", 404, "nobody"},
		"never published":       {owner, "POST", "/v1/ignite/app/acme-corp/unpublished/invoke", "{}", 400, "publish"},
		"never published async": {owner, "POST", "/v1/ignite/app/acme-corp/unpublished/invoke-async", "{}", 400, "publish"},
		"malformed JSON":        {owner, "POST", "/v1/ignite/app/acme-corp/probe/invoke-async", "{", 400, ""},
		"malformed base64":      {owner, "POST", "/v1/ignite/app/acme-corp/probe/invoke-async", `{"body":"***"}`, 400, "body"},
		"malformed invoke":      {owner, "POST", "/v1/ignite/app/acme-corp/probe/invoke", `{"body":"***"}`, 400, "body"},
		"bad name":              {owner, "POST", "/v1/ignite/app/acme-corp", `{"name":"Bad_Name"}`, 400, "name"},
		"long name":             {owner, "POST", "/v1/ignite/app/acme-corp", `{"name":"` + strings.Repeat("a", 64) + `"}`, 400, "63"},
		"same app twice":        {owner, "POST", "/v1/ignite/app/acme-corp", `{"name":"probe"}`, 409, "probe"},
		"body above the limit":  {owner, "POST", "/v1/ignite/app/acme-corp/probe/invoke-async", tooLarge, 413, "1"},
		"invoke above it":       {owner, "POST", "/v1/ignite/app/acme-corp/probe/invoke", tooLarge, 413, "1"},
		"no such route":         {owner, "GET", "/v1/ignite/nothing", "", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.http+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				request.Header.Set("Authorization", "Bearer "+c.token)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != c.status || !bytes.Contains(body, []byte(`"code"`)) || !bytes.Contains(body, []byte(c.says)) {
				t.Errorf("%d %s; want %d and a word of %q", answer.StatusCode, body, c.status, c.says)
			}
		})
	}

	t.Run("direct host names", func(t *testing.T) {
		for name, c := range map[string]struct {
			host, token string
			status      int
		}{
			"served":          {"probe-acme-corp.ignite.localhost", owner, 200},
			"no token":        {"probe-acme-corp.ignite.localhost", "", 401},
			"wrong org":       {"probe-acme-corp.ignite.localhost", other, 403},
			"missing scope":   {"probe-acme-corp.ignite.localhost", reader, 403},
			"unknown host":    {"nobody-acme-corp.ignite.localhost", owner, 404},
			"never published": {"unpublished-acme-corp.ignite.localhost", owner, 404},
		} {
			request := s.request(t, http.MethodGet, "/anything", nil)
			request.Host = c.host
			request.Header.Del("Authorization")
			if c.token != "" {
				request.Header.Set("Authorization", "Bearer "+c.token)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != c.status {
				t.Errorf("%s: %s, want %d", name, answer.Status, c.status)
			}
		}
	})

	t.Run("the limit is known before the body is read", func(t *testing.T) {
		request := s.request(t, http.MethodPost, "/v1/ignite/app/acme-corp/probe/invoke-async", neverRead{t})
		request.ContentLength = 1 << 30
		request.Header.Set("Expect", "100-continue")
		answer, err := (&http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s", answer.Status)
		}
	})

	t.Run("never published over gRPC", func(t *testing.T) {
		client := dialByReflection(t, s.grpc, owner)
		_, err := client.call(t.Context(), "InvokeAsync", `{"organizationName":"acme-corp","appName":"unpublished"}`)
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%v", err)
		}
	})
}

// neverRead is a body whose sender would wait to be asked for it.
type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) {
	n.t.Error("the body was asked for")
	return 0, io.ErrUnexpectedEOF
}

// The organization `public` may be invoked by any authenticated caller; the record is the caller's.
func TestPublicApps(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.token = s.mint(t, "--org", "public")
	code := procfileCode(probeArchive(t))
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/public", fmt.Sprintf(`{"name":"probe","code":%s}`, code)); status != http.StatusOK {
		t.Fatalf("create: %d %v", status, answer)
	}
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/public/probe/draft/publish", "{}"); status != http.StatusOK {
		t.Fatalf("publish: %d %v", status, answer)
	}
	s.token = s.mint(t, "--org", "acme-corp")
	status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/public/probe/invoke-async", `{"http":{"path":"/echo"},"body":"aGk="}`)
	if status != http.StatusOK {
		t.Fatalf("invoke: %d %v", status, answer)
	}
	id, _ := answer["executionId"].(string)
	if execution := s.await(t, id); string(result(t, execution)) != "hi" {
		t.Errorf("record %v", execution)
	}
	if status, _ := s.do(t, http.MethodDelete, "/v1/ignite/app/public/probe", ""); status != http.StatusForbidden {
		t.Errorf("delete: %d", status)
	}
	s.token = s.mint(t, "--org", "public")
	if status, _ := s.do(t, http.MethodGet, "/v1/ignite/executions/"+id, ""); status != http.StatusNotFound {
		t.Errorf("the app's organization reads the caller's record: %d", status)
	}
}

// The token reaches no pod, no log and nothing that is stored, on any surface.
func TestTokenStaysAtTheGateway(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	envelope := fmt.Sprintf(`{"http":{"headers":{"Authorization":"Bearer %s","Cookie":"session=kept-out"}}}`, s.token)
	if execution := s.await(t, s.submit(t, "probe", envelope)); bytes.Contains(result(t, execution), []byte(s.token)) {
		t.Error("the token reached the pod through InvokeAsync")
	}
	for _, answer := range []*http.Response{s.invoke(t, "probe", `{}`), s.sendDirect(t, "probe")} {
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte(s.token)) {
			t.Error("the token reached the pod")
		}
	}
	s.stop(t)
	if strings.Contains(s.logs.String(), s.token) {
		t.Error("the token is in the log")
	}
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(s.token)) {
			t.Errorf("the token is stored in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *server) sendDirect(t *testing.T, app string) *http.Response {
	t.Helper()
	answer, err := http.DefaultClient.Do(s.direct(t, http.MethodPost, app, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}
