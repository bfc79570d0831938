package build

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/store"
)

var (
	pythonCode   = store.Code{Kind: store.CodeSDK, Runtime: "python"}
	goCode       = store.Code{Kind: store.CodeSDK, Runtime: "go"}
	procfileCode = store.Code{Kind: store.CodeUploadImage}

	_ engine.Provisioner = (*Builder)(nil)
)

func TestOpenNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{MaxUnpackedBytes: -1, MaxFiles: -1, Timeout: -1, MaxBuilds: -1})
	for _, field := range []string{"Dir", "MaxUnpackedBytes", "MaxFiles", "Timeout", "MaxBuilds"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error %v does not name %s", err, field)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	handler := map[string]string{"handler.py": ""}
	cases := []struct {
		name  string
		code  store.Code
		files map[string]string
		want  string
	}{
		{"python", pythonCode, handler, ""},
		{"python without a handler", pythonCode, map[string]string{"main.py": ""}, "handler.py is missing at the root"},
		{"handler in a folder", pythonCode, map[string]string{"hello/handler.py": "", "hello/lib/x.py": "", "__MACOSX/._x": ""},
			`inside the folder "hello": pack what is in it (tar -czf code.tar.gz -C hello .)`},
		{"handler in one of two folders", pythonCode, map[string]string{"hello/handler.py": "", "lib/x.py": ""}, "handler.py is missing at the root"},
		{"procfile", procfileCode, map[string]string{"Procfile": "web: run"}, ""},
		{"procfile in a folder", procfileCode, map[string]string{"app/Procfile": "web: run"}, `inside the folder "app"`},
		{"procfile without web", procfileCode, map[string]string{"Procfile": "worker: run"}, "no line that begins with `web:`"},
		{"procfile of a program that is missing", procfileCode, map[string]string{"Procfile": "web: bin/run"}, "Procfile runs bin/run, which is not there"},
		{"procfile of a program to be built", procfileCode, map[string]string{"Procfile": "web: bin/run", "go.mod": "module run"}, ""},
		{"dockerfile", procfileCode, map[string]string{"Dockerfile": "FROM scratch"}, "runs no images: it was started without a Docker engine"},
		{"dockerfile and procfile", procfileCode, map[string]string{"Dockerfile": "FROM scratch", "Procfile": "web: run"}, ""},
		{"rust", store.Code{Kind: store.CodeSDK, Runtime: "rust"}, handler, `not supported on this server yet: the managed runtime "rust"`},
		{"go", goCode, map[string]string{"main.go": ""}, ""},
		{"go without code", goCode, map[string]string{"main_test.go": ""}, "no Go file at the root of the archive"},
		{"go in a folder", goCode, map[string]string{"hello/main.go": ""}, `inside the folder "hello"`},
		{"deno", store.Code{Kind: store.CodeSDK, Runtime: "deno"}, handler, `not supported on this server yet: the managed runtime "deno"`},
		{"prebuilt", store.Code{Kind: store.CodePrebuilt}, nil, "runs no images: it was started without a Docker engine"},
		{"git", store.Code{Kind: store.CodeGitImage}, handler, "not supported on this server yet: building from a Git repository"},
		{"of no kind", store.Code{}, handler, "not supported on this server yet"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expect(t, b.Check(c.code, tarOf(t, c.files)), c.want)
		})
	}
}

// expect wants no error for "", and an invalid code that says want for everything else.
func expect(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, store.ErrInvalidCode) || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want an invalid code that says %q", err, want)
	}
}

func TestCheckWritesNothing(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	if err := b.Check(pythonCode, tarOf(t, map[string]string{"handler.py": "", "x": "x"})); err != nil {
		t.Fatal(err)
	}
	if entries := must(os.ReadDir(b.config.Dir)); len(entries) != 0 {
		t.Errorf("checking left %v", entries)
	}
}

func TestWhatNeedsNoBuildIsRunAsItIs(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	artifact, log, err := b.Build(t.Context(), pythonCode, tarOf(t, map[string]string{"handler.py": ""}), io.Discard)
	if artifact != nil || log != "" || err != nil {
		t.Errorf("got %d bytes, the log %q, %v", len(artifact), log, err)
	}
}

func TestNeedsBuild(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{})
	cases := []struct {
		name  string
		code  store.Code
		files map[string]string
		want  bool
	}{
		{"a handler", pythonCode, map[string]string{"handler.py": ""}, false},
		{"a handler with requirements", pythonCode, map[string]string{"handler.py": "", "requirements.txt": ""}, true},
		{"a program", procfileCode, map[string]string{"Procfile": "web: run"}, false},
		{"a function in Go", goCode, map[string]string{"main.go": ""}, true},
	}
	for _, c := range cases {
		if needed, err := b.NeedsBuild(t.Context(), c.code, tarOf(t, c.files)); err != nil || needed != c.want {
			t.Errorf("%s: got %v, %v", c.name, needed, err)
		}
	}
	_, err := b.NeedsBuild(t.Context(), pythonCode, []byte("no archive"))
	expect(t, err, "neither a tar.gz nor a zip")
}

func TestBuildProvisionAndRun(t *testing.T) {
	t.Parallel()
	needs(t, "go")
	b := openBuilder(t, Config{})
	archive := goApp(t, `package main; func main() { println("it runs") }`)
	artifact, log, err := b.Build(t.Context(), procfileCode, archive, io.Discard)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	launch, err := b.Provision(t.Context(), version(artifact), opens(artifact))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), launch.Command[0], launch.Command[1:]...)
	command.Dir = launch.Dir
	if out, err := command.CombinedOutput(); err != nil || string(out) != "it runs\n" {
		t.Errorf("it says %q, %v", out, err)
	}
	if got := leftovers(t, b.config.Dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	needs(t, "go")
	b := openBuilder(t, Config{})
	examples := filepath.Join("..", "..", "examples")
	hello, stream := must(Pack(filepath.Join(examples, "hello"))), must(Pack(filepath.Join(examples, "stream")))
	expect(t, b.Check(pythonCode, hello), "")
	expect(t, b.Check(procfileCode, stream), "")
	expect(t, b.Check(procfileCode, must(Pack(filepath.Join(examples, "node")))), "")
	expect(t, b.Check(goCode, must(Pack(filepath.Join(examples, "go-function")))), "")
	artifact, log, err := b.Build(t.Context(), procfileCode, stream, io.Discard)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if files := must(list(t.Context(), inMemory(artifact), b.limits)); !slices.Contains(slices.Collect(maps.Keys(files)), "bin/stream") {
		t.Errorf("the artifact has %v", slices.Sorted(maps.Keys(files)))
	}
}

// lines keeps what each Write had.
type lines []string

func (l *lines) Write(p []byte) (int, error) {
	*l = append(*l, string(p))
	return len(p), nil
}

func TestBuildHandsOnEveryLine(t *testing.T) {
	t.Parallel()
	needs(t, "go")
	b := openBuilder(t, Config{})
	var printed lines
	_, log, err := b.Build(t.Context(), goCode, tarOf(t, map[string]string{"main.go": "package main\n\nfunc main() { nobody() }\n"}), &printed)
	expect(t, err, "main.go:3:15: undefined: nobody")
	if len(printed) < 3 || strings.Join(printed, "") != log || printed[len(printed)-1] != "./main.go:3:15: undefined: nobody\n" {
		t.Errorf("the lines are %q, and the log %q", printed, log)
	}
}

func goApp(t testing.TB, source string) []byte {
	return tarOf(t, map[string]string{"Procfile": "web: bin/app\n", "go.mod": "module app\n\ngo 1.22\n", "main.go": source})
}

func needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("there is no %s", program)
	}
}

func TestBuildWithinLimits(t *testing.T) {
	t.Parallel()
	needs(t, "go")
	b := openBuilder(t, Config{MaxUnpackedBytes: 10_000})
	_, _, err := b.Build(t.Context(), procfileCode, goApp(t, `package main; func main() {}`), io.Discard)
	expect(t, err, "what was built: invalid code: the archive unpacks to more than the limit of 10000 bytes")
}

func TestBuildThatTakesTooLong(t *testing.T) {
	t.Parallel()
	needs(t, "go")
	b := openBuilder(t, Config{Timeout: time.Nanosecond})
	_, _, err := b.Build(t.Context(), procfileCode, goApp(t, `package main; func main() {}`), io.Discard)
	expect(t, err, "the build took longer than 1ns")
}

func TestBuildsWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := openBuilder(t, Config{MaxBuilds: 1})
	b.builds <- struct{}{}
	ctx, cancel := context.WithCancelCause(t.Context())
	left := errors.New("the caller left")
	cancel(left)
	if _, _, err := b.Build(ctx, procfileCode, goApp(t, `package main; func main() {}`), io.Discard); !errors.Is(err, left) {
		t.Errorf("got the error %v", err)
	}
	if entries := must(os.ReadDir(b.config.Dir)); len(entries) != 0 {
		t.Errorf("left behind: %v in %s", entries, filepath.Base(b.config.Dir))
	}
}
