package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/dynamicpb"
)

func encode(body []byte) string { return base64.StdEncoding.EncodeToString(body) }

// Calls that arrive during a cold start share one start, whichever surface they come by.
func TestColdStartIsShared(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	pids := make([]string, 12)
	var calls sync.WaitGroup
	for i := range pids {
		calls.Go(func() {
			switch i % 3 {
			case 0:
				pids[i] = string(result(t, s.await(t, s.submit(t, "probe", `{"http":{"path":"/pid"}}`))))
			case 1:
				pids[i] = readAll(t, s.invoke(t, "probe", `{"http":{"path":"/pid"}}`))
			case 2:
				answer, err := http.DefaultClient.Do(s.direct(t, http.MethodGet, "probe", "/pid", nil))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = answer.Body.Close() }()
				pids[i] = readAll(t, answer)
			}
		})
	}
	calls.Wait()
	for i, pid := range pids {
		if pid != pids[0] || pid == "" {
			t.Errorf("call %d came to pod %q, the first to %q", i, pid, pids[0])
		}
	}
	if n := strings.Count(s.logs.String(), `"pod started"`); n != 1 {
		t.Errorf("%d pods started", n)
	}
}

func readAll(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

// An idle pod is stopped after the app's period, and the next call starts another.
func TestIdlePodStops(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--least-scaledown-secs", "1")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), `"scaling":{"scaledownPeriodSecs":1}`)
	first := s.podPID(t, "probe")
	eventually(t, "no pod is ready", func() bool {
		_, state := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/probe/state", "")
		return state["readyReplicas"] == nil && state["deploymentState"] == "DEPLOYMENT_STATE_IDLE"
	})
	if second := s.podPID(t, "probe"); second == first {
		t.Errorf("pod %d was not stopped", first)
	}
}

// A pod that exits before it serves fails the call at once, one that never listens soon and not when the budget is spent: with
// its last words, which GetAppState keeps.
func TestHopelessStartFailsFast(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--listen-limit-secs", "1")
	for how, words := range map[string][]string{
		"exit": {"exited with code 3", "probe cannot work like this"},
		"deaf": {"did not listen", "$PORT, within 1s", "probe listens to nobody"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s.deploy(t, how, procfileCode(probeArchive(t)), fmt.Sprintf(`"env":{"PROBE":%q}`, how))
			answer := s.invoke(t, how, `{}`)
			body := readAll(t, answer)
			execution := s.await(t, s.submit(t, how, `{}`))
			_, state := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/"+how+"/state", "")
			if answer.StatusCode != http.StatusServiceUnavailable || execution["status"] != "EXECUTION_STATUS_FAILED" {
				t.Errorf("invoke %s, record %v", answer.Status, execution)
			}
			for place, said := range map[string]any{"answer": body, "record": execution["error"], "state": state["lastError"]} {
				for _, word := range words {
					if !strings.Contains(fmt.Sprint(said), word) {
						t.Errorf("the %s lacks %q: %v", place, word, said)
					}
				}
			}
		})
	}
}

// A pod that is not ready when the cold-start budget is spent is given up, and the error says which clock that was.
func TestDeafPodRunsOutOfBudget(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--cold-start-budget-secs", "2")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), `"env":{"PROBE":"deaf"}`)
	execution := s.await(t, s.submit(t, "probe", `{}`))
	if said := fmt.Sprint(execution["error"]); execution["status"] != "EXECUTION_STATUS_TIMEOUT" || !strings.Contains(said, "TIMEOUT_COLD_START") {
		t.Errorf("record %v", execution)
	}
}

// The app's own timeout ends a call as TIMEOUT.
func TestAppTimeout(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	s.deploy(t, "probe", procfileCode(probeArchive(t)), `"limits":{"timeoutSecs":1}`)
	execution := s.await(t, s.submit(t, "probe", holdUntil("/never/open")))
	if said := fmt.Sprint(execution["error"]); execution["status"] != "EXECUTION_STATUS_TIMEOUT" || !strings.Contains(said, "TIMEOUT_TOTAL") {
		t.Errorf("record %v", execution)
	}
	if answer := s.invoke(t, "probe", holdUntil("/never/open")); answer.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("invoke: %s", answer.Status)
	}
}

// Bodies from one byte to the limit come back the same on every surface, although a NATS message holds 1 MiB.
func TestBodySizes(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	s := startServer(t, dataDir(t), "--max-payload-bytes", "8MiB")
	s.deploy(t, "probe", procfileCode(probeArchive(t)), "")
	client := dialByReflection(t, s.grpc, s.token)
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{1, 511 << 10, 512 << 10, 512<<10 + 1, 1 << 20, 3<<20 + 7, limit} {
		body := make([]byte, size)
		_, _ = random.Read(body)
		request := fmt.Sprintf(`{"http":{"path":"/echo"},"body":%q}`, encode(body))
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			if got := readAll(t, s.invoke(t, "probe", request)); got != string(body) {
				t.Errorf("Invoke over HTTP: %d bytes back", len(got))
			}
			if got := result(t, s.await(t, s.submit(t, "probe", request))); !bytes.Equal(got, body) {
				t.Errorf("InvokeAsync: %d bytes back", len(got))
			}
			answer, err := http.DefaultClient.Do(s.direct(t, http.MethodPost, "probe", "/echo", body))
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, answer); got != string(body) {
				t.Errorf("direct: %d bytes back", len(got))
			}
			_ = answer.Body.Close()
			if got := client.echo(t, body); !bytes.Equal(got, body) {
				t.Errorf("Invoke over gRPC: %d bytes back", len(got))
			}
		})
	}
}

func (c *reflectionClient) echo(t *testing.T, body []byte) []byte {
	t.Helper()
	var back bytes.Buffer
	request := fmt.Sprintf(`{"organizationName":"acme-corp","appName":"probe","http":{"path":"/echo"},"body":%q}`, encode(body))
	err := c.stream(t.Context(), "Invoke", request, func(frame *dynamicpb.Message) error {
		if has(frame, "chunk") {
			back.Write(field(frame, "chunk", "data").Bytes())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return back.Bytes()
}

// The managed Python runtime, as the reference describes it.
func TestPythonRuntime(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	handler := `
import threading
calls = 0
ticks = []
def handler(payload, ctx):
    global calls
    calls += 1
    if payload == b"bytes": return b"\x00\xff"
    if payload == b"str": return "grüße"
    if payload == b"json": return {"keys": sorted(ctx), "function": ctx["function_id"], "calls": calls}
    if payload == b"stream":
        def parts():
            for i in range(3): yield f"part {i};"
        return parts()
    if payload == b"thread":
        threading.Thread(target=lambda: ticks.append(1), daemon=True).start()
        return "started"
    if payload == b"ticks": return str(len(ticks))
    raise ValueError("no such payload")
`
	s.deploy(t, "py", pythonCode(pack(t, map[string][]byte{"handler.py": []byte(handler)})), "")
	say := func(payload string) (map[string]any, string) {
		execution := s.await(t, s.submit(t, "py", fmt.Sprintf(`{"body":%q}`, encode([]byte(payload)))))
		return execution, string(result(t, execution))
	}
	for payload, want := range map[string]string{"bytes": "\x00\xff", "str": "grüße", "stream": "part 0;part 1;part 2;", "thread": "started"} {
		if execution, got := say(payload); got != want {
			t.Errorf("%s: %q, %v", payload, got, execution)
		}
	}
	if _, got := say("json"); !strings.Contains(got, `"function": "acme-corp/py"`) || !strings.Contains(got, `["execution_id", "function_id", "organization_id"]`) {
		t.Errorf("json: %s", got)
	}
	eventually(t, "the thread of an earlier call has run", func() bool { _, got := say("ticks"); return got == "1" })
	execution, got := say("nothing")
	if execution["status"] != "EXECUTION_STATUS_FAILED" || execution["responseStatusCode"] != float64(500) {
		t.Errorf("record %v", execution)
	}
	for _, part := range []string{`"error"`, `"type": "ValueError"`, `"traceback"`, "no such payload"} {
		if !strings.Contains(got, part) {
			t.Errorf("an exception answered %s", got)
		}
	}
	answer, err := http.DefaultClient.Do(s.direct(t, http.MethodGet, "py", "/healthz", nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("GET is the runtime's: %s", answer.Status)
	}
}

// An archive that leaves its folder is refused when it is saved.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t), "--max-unpacked-bytes", "1MiB")
	for name, files := range map[string]map[string][]byte{
		"dot dot":  {"Procfile": []byte("web: ./a\n"), "../outside": []byte("x")},
		"absolute": {"Procfile": []byte("web: ./a\n"), "/outside": []byte("x")},
		"bomb":     {"Procfile": []byte("web: ./a\n"), "zeros": make([]byte, 2<<20)},
	} {
		request := fmt.Sprintf(`{"name":"hostile","code":%s}`, procfileCode(pack(t, files)))
		status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp", request)
		if status != http.StatusBadRequest || answer["message"] == "" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
		if status, _ := s.do(t, http.MethodGet, "/v1/ignite/app/acme-corp/hostile", ""); status != http.StatusNotFound {
			t.Errorf("%s: half an app was left: %d", name, status)
		}
	}
}

// Publishing again replaces the pod; rolling back brings the version before into service.
func TestPublishAndRollback(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	handler := func(answer string) string {
		return pythonCode(pack(t, map[string][]byte{"handler.py": []byte("def handler(payload, ctx):\n    return '" + answer + "'\n")}))
	}
	s.deploy(t, "py", handler("one"), "")
	if got := readAll(t, s.invoke(t, "py", "{}")); got != "one" {
		t.Fatalf("version 1 answers %q", got)
	}
	s.must(t, "/v1/ignite/app/acme-corp/py/draft", `{"code":`+handler("two")+`}`)
	s.must(t, "/v1/ignite/app/acme-corp/py/draft/publish", `{}`)
	eventually(t, "version 2 answers", func() bool { return readAll(t, s.invoke(t, "py", "{}")) == "two" })
	s.must(t, "/v1/ignite/app/acme-corp/py/rollback", `{"version":1}`)
	eventually(t, "version 1 answers again", func() bool { return readAll(t, s.invoke(t, "py", "{}")) == "one" })
	execution := s.await(t, s.submit(t, "py", `{}`))
	if execution["functionVersion"] != float64(1) {
		t.Errorf("record %v", execution)
	}
}

func (s *server) must(t *testing.T, path, body string) map[string]any {
	t.Helper()
	status, answer := s.do(t, http.MethodPost, path, body)
	if status != http.StatusOK {
		t.Fatalf("POST %s: %d %v", path, status, answer)
	}
	return answer
}
