package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// cli is the built client, told of a server by its environment as a person would.
type cli struct {
	binary      string
	environment []string
}

// buildClient builds the client as `make build` does.
func buildClient(t *testing.T, s *server) *cli {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ignite")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../ignite")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the client: %v\n%s", err, out)
	}
	return &cli{binary: binary, environment: append(os.Environ(),
		"IGNITE_API_ENDPOINT="+s.grpc, "IGNITE_TOKEN="+s.token, "IGNITE_CONFIG_DIR="+t.TempDir())}
}

func (c *cli) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.binary, args...)
	command.Env = c.environment
	return command
}

// run answers what a command printed and its exit code.
func (c *cli) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	command := c.command(t, args...)
	var out, told bytes.Buffer
	command.Stdout, command.Stderr = &out, &told
	err := command.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return out.String(), told.String(), command.ProcessState.ExitCode()
}

// must is run for a command that succeeds.
func (c *cli) must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := c.run(t, args...)
	if code != 0 {
		t.Fatalf("ignite %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// document runs a command for JSON, reads that, and holds the YAML form against it.
func (c *cli) document(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var fromJSON, fromYAML map[string]any
	if text := c.must(t, append(args, "-o", "json")...); json.Unmarshal([]byte(text), &fromJSON) != nil {
		t.Fatalf("ignite %s -o json printed %s", strings.Join(args, " "), text)
	}
	if text := c.must(t, append(args, "-o", "yaml")...); yaml.Unmarshal([]byte(text), &fromYAML) != nil || len(fromYAML) != len(fromJSON) {
		t.Fatalf("ignite %s -o yaml printed %s", strings.Join(args, " "), text)
	}
	return fromJSON
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in:\n%s", word, text)
		}
	}
}

// The whole of a person's day with the client: deploy both examples, call them, follow executions, go back a version, take away.
func TestClient(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	c := buildClient(t, s)
	for _, name := range []string{"hello", "stream"} {
		url := c.must(t, "app", "deploy", filepath.Join("..", "..", "examples", name))
		says(t, url, "http://"+name+"-acme-corp.ignite.localhost:")
	}
	t.Run("invoke", func(t *testing.T) {
		says(t, c.must(t, "invoke", "hello", "--payload", `{"name": "Ada"}`), `"message": "Hello, Ada!"`)
		if out := c.must(t, "invoke", "acme-corp:stream", "--query", "chunks=2"); out != "chunk 1 of 2\nchunk 2 of 2\n" {
			t.Errorf("the answer is %q", out)
		}
	})
	t.Run("submit, get and watch", func(t *testing.T) { clientFollows(t, c) })
	t.Run("watch live", func(t *testing.T) { clientWatchesLive(t, c) })
	t.Run("drafts, versions and rollback", func(t *testing.T) { clientPublishes(t, c) })
	t.Run("what runs", func(t *testing.T) {
		says(t, c.must(t, "app", "state", "stream"), "running", "Pods ready:         1")
		if state := c.document(t, "app", "state", "stream"); state["deploymentState"] != "DEPLOYMENT_STATE_RUNNING" || state["readyReplicas"] != 1.0 {
			t.Errorf("%v", state)
		}
		says(t, c.must(t, "app", "list"), "acme-corp/hello", "acme-corp/stream", "http://stream-acme-corp.")
		if apps, _ := c.document(t, "app", "list")["apps"].([]any); len(apps) != 2 {
			t.Errorf("%v", apps)
		}
	})
	t.Run("exit codes", func(t *testing.T) { clientExitCodes(t, s, c) })
	t.Run("delete", func(t *testing.T) {
		c.must(t, "app", "delete", "hello")
		if _, told, code := c.run(t, "app", "get", "hello"); code != 5 {
			t.Errorf("a deleted app: exit code %d: %s", code, told)
		}
	})
}

func clientFollows(t *testing.T, c *cli) {
	id := strings.TrimSpace(c.must(t, "invoke", "hello", "--async", "--payload", `{"name": "Grace"}`))
	if !strings.HasPrefix(id, "exec_") {
		t.Fatalf("the id is %q", id)
	}
	answer, told, code := c.run(t, "execution", "watch", id)
	says(t, answer, "Hello, Grace!")
	says(t, told, id+" COMPLETED")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	says(t, c.must(t, "execution", "get", id), "COMPLETED", "acme-corp/hello", `"message": "Hello, Grace!"`)
	execution, _ := c.document(t, "execution", "get", id)["execution"].(map[string]any)
	if execution["id"] != id || execution["status"] != "EXECUTION_STATUS_COMPLETED" {
		t.Errorf("%v", execution)
	}
	if out := c.must(t, "execution", "get", id, "--result-only"); out != string(result(t, execution)) || !json.Valid([]byte(out)) {
		t.Errorf("the result is %q", out)
	}
	answer, told, code = c.run(t, "invoke", "hello", "--async", "--watch", "--payload", "not JSON")
	if code != 1 {
		t.Errorf("an app that fails: exit code %d: %s", code, told)
	}
	says(t, answer, "JSONDecodeError")
}

// clientWatchesLive sees that chunks leave the client while the app goes on.
func clientWatchesLive(t *testing.T, c *cli) {
	const chunks = 6
	command := c.command(t, "invoke", "stream", "--async", "--watch", "--payload", `{"chunks": 6}`)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var first time.Time
	seen := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); seen++ {
		if seen == 0 {
			first = time.Now()
		}
	}
	if spread := time.Since(first); seen != chunks || spread < 500*time.Millisecond {
		t.Errorf("%d chunks, all within %v: the app sends %d with 200 ms between them", seen, spread, chunks)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

func clientPublishes(t *testing.T, c *cli) {
	code := filepath.Join("..", "..", "examples", "hello")
	says(t, c.must(t, "draft", "save", "hello", "--code", code), "draft", "python")
	says(t, c.must(t, "draft", "info", "hello"), "draft", "python")
	says(t, c.must(t, "draft", "compile", "hello"), "compiled")
	says(t, c.must(t, "draft", "publish", "hello"), "http://hello-acme-corp.")
	says(t, c.must(t, "draft", "info", "hello"), "no draft")
	if active := c.activeVersion(t, "hello"); active != 2 {
		t.Errorf("version %v is active after the second publication", active)
	}
	c.must(t, "version", "rollback", "hello", "1")
	if active := c.activeVersion(t, "hello"); active != 1 {
		t.Errorf("version %v is active after the rollback", active)
	}
	says(t, c.must(t, "version", "list", "hello"), "active", "superseded")
}

func (c *cli) activeVersion(t *testing.T, app string) float64 {
	t.Helper()
	versions, _ := c.document(t, "version", "list", app)["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if number, _ := version["version"].(float64); version["status"] == "VERSION_STATUS_ACTIVE" {
			return number
		}
	}
	return 0
}

func clientExitCodes(t *testing.T, s *server, c *cli) {
	reader := s.mint(t, "--org", "acme-corp", "--scope", "GetApp")
	for name, want := range map[string]struct {
		code int
		told string
		args []string
	}{
		"a command that is none":  {2, "did you mean", []string{"ap"}},
		"a bad name":              {2, "Bad_Name", []string{"app", "create", "Bad_Name"}},
		"a version that is none":  {2, "", []string{"version", "rollback", "hello", "first"}},
		"a token of nobody":       {3, "ignited token", []string{"--token", "nobody", "--org", "acme-corp", "app", "list"}},
		"another's organization":  {4, "other", []string{"app", "list", "--org", "other"}},
		"a scope that is missing": {4, "InvokeApp", []string{"--token", reader, "invoke", "hello"}},
		"an unknown app":          {5, "nobody", []string{"invoke", "nobody"}},
		"an unknown execution":    {5, "exec_", []string{"execution", "get", "exec_00000000000000000000000000"}},
		"an app that is there":    {6, "hello", []string{"app", "create", "hello"}},
		"a server that is none":   {9, "Is ignited running at", []string{"--api-endpoint", freeAddress(t), "app", "list"}},
	} {
		if out, told, code := c.run(t, want.args...); code != want.code || !strings.Contains(told, want.told) || out != "" {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", name, code, want.code, want.told, out, told)
		}
	}
}
