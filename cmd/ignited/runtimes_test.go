package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func requires(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("there is no %s", program)
	}
}

// A function in Go, from source to a published version, and what is tried meanwhile without publishing it.
func TestGoFunction(t *testing.T) {
	t.Parallel()
	requires(t, "go")
	s := startServer(t, dataDir(t))
	c := buildClient(t, s)
	folder := filepath.Join("..", "..", "examples", "go-function")
	said := c.must(t, "app", "deploy", folder, "--follow")
	says(t, said, "go version go1.", "http://go-function-acme-corp.ignite.localhost:")
	says(t, c.must(t, "invoke", "go-function", "--payload", "to be or not to be"), `"words":6,"longest":"not"`, `"execution_id":"exec_`)
	if out, told, code := c.run(t, "invoke", "go-function"); code != 1 || !strings.Contains(out, `{"error":"send a text to count the words of"}`) {
		t.Errorf("an error is answered %q, %s", out, told)
	}
	execution := s.await(t, s.submit(t, "go-function", `{"body":"YQ=="}`))
	says(t, string(result(t, execution)), `"longest":"a"`)
	t.Run("a draft is tried", func(t *testing.T) { tryDraft(t, c) })
	t.Run("a draft that does not compile", func(t *testing.T) { compileInVain(t, c) })
	t.Run("a version is tried", func(t *testing.T) {
		says(t, c.must(t, "version", "test", "go-function", "1", "--payload", "x y"), `"words":2`)
		if _, told, code := c.run(t, "version", "test", "go-function", "7"); code != 5 {
			t.Errorf("one that is not there: exit code %d: %s", code, told)
		}
	})
}

const shouting = `package main

import (
	"bytes"
	"fmt"
	"os"

	"ignite"
)

func main() {
	fmt.Println("greeting is", os.Getenv("GREETING"))
	ignite.Start(func(payload []byte, ctx *ignite.Context) ([]byte, error) {
		if len(payload) == 0 {
			panic("nothing to shout")
		}
		return append(bytes.ToUpper(payload), " "+ctx.FunctionID...), nil
	})
}
`

var deployID = regexp.MustCompile(`Deploy id: +(\S+)`)

// tryDraft leaves what serves as it is.
func tryDraft(t *testing.T, c *cli) {
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte(shouting), 0o644); err != nil {
		t.Fatal(err)
	}
	c.must(t, "app", "update", "go-function", "--env", "GREETING=hi")
	c.must(t, "draft", "save", "go-function", "--code", source)
	if _, told, code := c.run(t, "draft", "test", "go-function"); code == 0 || !strings.Contains(told, "compile it first") {
		t.Errorf("before it is compiled: exit code %d: %s", code, told)
	}
	compiled := c.must(t, "draft", "compile", "go-function", "--follow")
	says(t, compiled, "go version go1.", "compiled")
	id := deployID.FindStringSubmatch(compiled)
	if id == nil {
		t.Fatalf("no deploy id in %s", compiled)
	}
	says(t, c.must(t, "draft", "logs", id[1]), "go version go1.")
	out, told, code := c.run(t, "draft", "test", "go-function", "--payload", "hello")
	if code != 0 || strings.TrimSpace(out) != "HELLO acme-corp/go-function" {
		t.Errorf("it is answered %q, exit code %d", out, code)
	}
	says(t, told, "log: greeting is hi", "200 OK in ")
	out, told, code = c.run(t, "draft", "test", "go-function")
	if code != 1 || !strings.Contains(out, `{"error":"panic: nothing to shout"}`) {
		t.Errorf("a panic is answered %q, exit code %d", out, code)
	}
	says(t, told, "panic: nothing to shout", "500 Internal Server Error")
	says(t, c.must(t, "invoke", "go-function", "--payload", "a b"), `"words":2`) // which is still the first version
}

func compileInVain(t *testing.T, c *cli) {
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { nobody() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.must(t, "draft", "save", "go-function", "--code", source)
	out, told, code := c.run(t, "draft", "compile", "go-function", "--follow")
	if code != 1 || !strings.Contains(out, "main.go:3:15: undefined: nobody") {
		t.Errorf("exit code %d: %s", code, out)
	}
	says(t, told, "does not compile")
	if _, told, code = c.run(t, "draft", "test", "go-function"); code == 0 || !strings.Contains(told, "does not compile") {
		t.Errorf("it is tried: %s", told)
	}
}

// What is wrong with a draft is seen without publishing it.
func TestTrialOfWhatDoesNotStart(t *testing.T) {
	t.Parallel()
	s := startServer(t, dataDir(t))
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp", fmt.Sprintf(`{"name":"broken","code":%s}`,
		pythonCode(pack(t, map[string][]byte{"handler.py": []byte("import nowhere\n")})))); status != http.StatusOK {
		t.Fatalf("create: %d %v", status, answer)
	}
	status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp/broken/draft/test", "{}")
	tried, _ := answer["result"].(map[string]any)
	failure, _ := tried["error"].(map[string]any)
	if status != http.StatusOK || failure["code"] != "POD_START_FAILED" || !strings.Contains(fmt.Sprint(tried["logLines"]), "No module named 'nowhere'") {
		t.Errorf("got %d %v", status, answer)
	}
}

// An HTTP server in Node.js, with events that leave when they are sent.
func TestNodeExample(t *testing.T) {
	t.Parallel()
	requires(t, "node")
	s := startServer(t, dataDir(t))
	s.deploy(t, "node", procfileCode(example(t, "node")), "")
	says(t, readAll(t, s.invoke(t, "node", `{"body":"eyJuYW1lIjoiQWRhIn0="}`)), `"message":"Hello, Ada!"`, `"execution_id":"exec_`)
	answer, err := http.DefaultClient.Do(s.direct(t, http.MethodGet, "node", "/events?count=2", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("the content type is %q", kind)
	}
	var got []string
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
			got = append(got, data)
		}
	}
	if strings.Join(got, " ") != `{"count": 1} {"count": 2}` {
		t.Errorf("the events are %q", got)
	}
}
