package toolchain

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func shell(script string) Command { return Command{Args: []string{"/bin/sh", "-c", script}} }

func TestRun(t *testing.T) {
	t.Parallel()
	var log Log
	c := shell("pwd; echo problem >&2; echo $ADDED")
	c.Dir, c.Env = t.TempDir(), []string{"ADDED=added"}
	if err := Run(t.Context(), c, &log); err != nil {
		t.Fatal(err)
	}
	if want := c.Dir + "\nproblem\nadded\n"; log.String() != want {
		t.Errorf("it printed %q, want %q", log.String(), want)
	}
}

func TestRunThatFails(t *testing.T) {
	t.Parallel()
	var log Log
	err := Run(t.Context(), shell("echo why; exit 3"), &log)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 {
		t.Errorf("got the error %v", err)
	}
	if log.String() != "why\n" {
		t.Errorf("it printed %q", log.String())
	}
	if err := Run(t.Context(), Command{Args: []string{"there-is-no-such-program"}}, &log); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got the error %v", err)
	}
}

func TestTheEndOfTheContextEndsEverything(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the caller left")
	ended := make(chan error)
	go func() {
		var log Log
		// The child holds the pipe open until it dies, whatever became of the shell.
		ended <- Run(ctx, shell("sh -c 'sleep 600' > "+pipe+" & wait"), &log)
	}()
	alive, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	cancel(reason)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("got the error %v", err)
	}
	if _, err := io.ReadAll(alive); err != nil {
		t.Error(err)
	}
}

func TestWhatIsInherited(t *testing.T) {
	t.Parallel()
	kept := []string{"PATH=/bin", "HOME=/home/x", "https_proxy=p", "GOPROXY=off", "PIP_INDEX_URL=u"}
	environ := slices.Concat(kept[:3], []string{"IGNITE_TOKEN=secret", "GOPROXY_KEY=secret", "AWS_SECRET=secret", "PIP=x"}, kept[3:])
	if got := inherited(environ, []string{"PIP_", "GOPROXY"}); !slices.Equal(got, kept) {
		t.Errorf("got %v, want %v", got, kept)
	}
}

func TestLogKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var log Log
	for range 10_000 {
		if _, err := io.WriteString(&log, "a line of some bytes: ü\n"); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.WriteString(&log, "the end")
	text := log.String()
	if !strings.HasPrefix(text, "… (earlier lines were left out)\n") || !strings.HasSuffix(text, "\nthe end") || !utf8.ValidString(text) {
		t.Errorf("got %.60q … %q", text, text[len(text)-20:])
	}
	if len(text) > MaxLog+100 || cap(log.kept) > 4*MaxLog {
		t.Errorf("it kept %d bytes in a buffer of %d", len(text), cap(log.kept))
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	var log Log
	_, _ = io.WriteString(&log, "# module\r\n\nmain.go:1: first\n"+strings.Repeat("more\n", 20))
	got := log.Summary(func(line string) bool { return !strings.HasPrefix(line, "#") })
	if want := "main.go:1: first\n" + strings.Repeat("more\n", 9) + "…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// lines keeps what each Write had.
type lines []string

func (l *lines) Write(p []byte) (int, error) {
	*l = append(*l, string(p))
	return 0, errors.New("nobody listens")
}

func TestLogPassesOnEveryLineAsItComes(t *testing.T) {
	t.Parallel()
	var passed lines
	log := Log{Lines: &passed}
	for _, printed := range []string{"one\ntw", "o", "\n\n", "three"} {
		if _, err := io.WriteString(&log, printed); err != nil {
			t.Fatal(err)
		}
	}
	if want := (lines{"one\n", "two\n", "\n"}); !slices.Equal(passed, want) {
		t.Errorf("got %q, want %q", passed, want)
	}
	log.endLine()
	log.endLine()
	if want := (lines{"one\n", "two\n", "\n", "three\n"}); !slices.Equal(passed, want) {
		t.Errorf("at the end: got %q, want %q", passed, want)
	}
	if got := log.String(); got != "one\ntwo\n\nthree" {
		t.Errorf("it kept %q", got)
	}
}

func TestLogCutsLongLines(t *testing.T) {
	t.Parallel()
	var passed lines
	log := Log{Lines: &passed}
	_, _ = io.WriteString(&log, strings.Repeat("x", 2*maxLine+1))
	log.endLine()
	if len(passed) != 3 || len(passed[0]) != maxLine+1 || passed[2] != "x\n" {
		t.Errorf("got %d lines", len(passed))
	}
}

func TestRunEndsTheLastLine(t *testing.T) {
	t.Parallel()
	var passed lines
	var stdout strings.Builder
	log := Log{Lines: &passed}
	err := Run(t.Context(), Command{Args: []string{"sh", "-c", "printf out; printf 'a\nb' >&2"}, Stdout: &stdout}, &log)
	if want := (lines{"a\n", "b\n"}); err != nil || !slices.Equal(passed, want) || stdout.String() != "out" {
		t.Errorf("got %q and %q, %v", passed, stdout.String(), err)
	}
}
