package procfile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dodil.io/ignite/engine/build/toolchain"
	"dodil.io/ignite/store"
)

func TestParse(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, content, want string }{
		{"one line", "web: bin/server", "bin/server"},
		{"arguments", "web:bin/server --port $PORT --name 'a b: c'\n", "bin/server --port $PORT --name 'a b: c'"},
		{"others around it", "# comment\n\nworker: bin/worker\r\nweb:\tbin/server\r\nrelease-2: x\nclock_1:\n", "bin/server"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if web, err := Parse([]byte(c.content)); err != nil || web != c.want {
				t.Errorf("got %q, %v, want %q", web, err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, content, want string }{
		{"nothing", "", "has no line that begins with `web:`"},
		{"no web", "worker: x\n# web: x\n", "has no line that begins with `web:`"},
		{"two webs", "web: a\n\nweb: b\n", "lines 1 and 3 both begin with `web:`"},
		{"no command", "web:   \n", "line 1 has no command after `web:`"},
		{"no type", "worker: x\nbin/server\n", "line 2 is not of the form `web: command`"},
		{"not a text", "web: a\x00b", "not a text file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(c.content))
			wantInvalid(t, err, c.want)
		})
	}
}

func wantInvalid(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, store.ErrInvalidCode) || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want an invalid code that says %q", err, want)
	}
}

// What is read once can be written down and read again.
func FuzzParse(f *testing.F) {
	for _, content := range []string{"web: bin/server $PORT\n", "# c\nworker: x\n\tweb:x\r\n", "web: a\nweb: b", "web", ":", "web:\u00a0\v", "web: a: b"} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		web, err := Parse(content)
		if err != nil {
			if !errors.Is(err, store.ErrInvalidCode) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if web == "" || strings.ContainsAny(web, "\n\x00") {
			t.Errorf("the command is %q", web)
		}
		if again, err := Parse([]byte("other: x\nweb: " + web + "\n")); err != nil || again != web {
			t.Errorf("%q was read as %q, %v", web, again, err)
		}
		_ = checkProgram(web, func(string) bool { return false })
	})
}

func TestShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "serve.sh", "#!/bin/sh\necho $$ $GREETING \"$*\"\n")
	cases := []struct {
		web, want string
		replaces  bool
	}{
		{"./serve.sh $PORT 'a b'", "8080 a b", true},
		{"GREETING=hello ./serve.sh $PORT", "hello 8080", true},
		{"exec ./serve.sh x", "x", true},
		{"cd . && ./serve.sh $PORT; true", "8080", false},
	}
	for _, c := range cases {
		arguments := shell(c.web)
		command := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...)
		command.Dir = dir
		command.Env = append(os.Environ(), "PORT=8080", "GREETING=")
		out, err := command.Output()
		pid, printed, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if err != nil || printed != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.web, printed, err, c.want)
		}
		if replaced := pid == strconv.Itoa(command.Process.Pid); replaced != c.replaces {
			t.Errorf("%s: that the program took the place of the shell is %v, want %v", c.web, replaced, c.replaces)
		}
	}
}

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "script", "#!/bin/sh\n")
	write(t, dir, "nameless", "echo the shell knows what to do\n")
	write(t, dir, "empty", "")
	for web, want := range map[string][]string{
		"./script":                            {"./script"},
		"./script --listen=:80  -v a@b.c 50%": {"./script", "--listen=:80", "-v", "a@b.c", "50%"},
		"./nameless":                          {"/bin/sh", "-c", "exec ./nameless"},
		"./empty":                             {"/bin/sh", "-c", "exec ./empty"},
		"./missing":                           {"/bin/sh", "-c", "exec ./missing"},
		"script":                              {"/bin/sh", "-c", "exec script"},
		"./script $PORT":                      {"/bin/sh", "-c", "exec ./script $PORT"},
		"./script 'a b'":                      {"/bin/sh", "-c", "exec ./script 'a b'"},
		"./script *":                          {"/bin/sh", "-c", "exec ./script *"},
		"./script ~":                          {"/bin/sh", "-c", "exec ./script ~"},
		"./script > log":                      {"/bin/sh", "-c", "exec ./script > log"},
		"A=./script ./script":                 {"/bin/sh", "-c", "exec env A=./script ./script"},
		"./script; ./script":                  {"/bin/sh", "-c", "./script; ./script"},
		"./script # comment":                  {"/bin/sh", "-c", "exec ./script # comment"},
	} {
		if got := command(dir, web); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", web, got, want)
		}
	}
}

func TestCheckProgram(t *testing.T) {
	t.Parallel()
	there := func(name string) bool { return name == "bin/server" }
	for _, web := range []string{
		"bin/server", "./bin/server -x", "bin//server", "python3 app.py", "/usr/bin/env x", "cd web && ./server",
		"A=b ./server", "\"./my server\"", "$HOME/server", "exec ./server",
	} {
		if err := checkProgram(web, there); err != nil {
			t.Errorf("%s: %v", web, err)
		}
	}
	wantInvalid(t, checkProgram("./server --x", there), "Procfile runs ./server, which is not there")
	wantInvalid(t, checkProgram("bin/other\t--x", there), "Procfile runs bin/other, which is not there")
}

func TestLaunch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "Procfile", "web: bin/server\n")
	launch, err := Runtime{}.Launch(t.Context(), dir, store.Version{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/bin/sh", "-c", "exec bin/server"}; !slices.Equal(launch.Command, want) || launch.Dir != dir {
		t.Errorf("got %+v", launch)
	}
	if launch.HealthPath != "/healthz" || launch.SocketActivation {
		t.Errorf("got %+v", launch)
	}
	launch, err = Runtime{}.Launch(t.Context(), dir, store.Version{Config: store.Config{HealthPath: "/ready"}})
	if err != nil || launch.HealthPath != "/ready" {
		t.Errorf("got %+v, %v", launch, err)
	}
}

// module writes a Go module with one command into a new folder.
func module(t testing.TB, web, source string) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	dir = t.TempDir()
	write(t, dir, "Procfile", "web: "+web+"\n")
	write(t, dir, "go.mod", "module server\n\ngo 1.22\n")
	write(t, dir, "main.go", source)
	return dir
}

func TestBuild(t *testing.T) {
	t.Parallel()
	const source = `package main; func main() { println("hello") }`
	dir, twin := module(t, "bin/server", source), module(t, "bin/server", source)
	for _, d := range []string{dir, twin} {
		var log toolchain.Log
		if err := (Runtime{}).Build(t.Context(), d, &log); err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", "server")).CombinedOutput(); string(out) != "hello\n" {
		t.Errorf("it says %q, %v", out, err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "bin", "server"))
	second, err2 := os.ReadFile(filepath.Join(twin, "bin", "server"))
	if err := errors.Join(err, err2); err != nil || !slices.Equal(first, second) {
		t.Errorf("the same code in another folder gave other bytes: %v", err)
	}
}

func TestBuildThatFails(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, web, source, want string }{
		{"does not compile", "bin/server", "package main\nfunc main() { undefinedName() }\n", "main.go:2:15: undefined: undefinedName"},
		{"has no command", "bin/server", "package server\n", "no main packages to build"},
		{"lacks a module", "bin/server", "package main\nimport _ \"example.com/missing\"\nfunc main() {}\n", "no required module provides package example.com/missing"},
		{"makes another name", "bin/web", "package main\nfunc main() {}\n", "Procfile runs bin/web, which is not there"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log toolchain.Log
			err := Runtime{}.Build(t.Context(), module(t, c.web, c.source), &log)
			wantInvalid(t, err, c.want)
		})
	}
}

func TestBuildWithoutToolchain(t *testing.T) {
	dir := module(t, "bin/server", "package main")
	t.Setenv("PATH", t.TempDir())
	var log toolchain.Log
	wantInvalid(t, Runtime{}.Build(t.Context(), dir, &log), "there is no Go toolchain on this server's PATH")
}
