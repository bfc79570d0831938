package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a fenced piece of the README: its language, its text, and the text of the output block after it, if there is one.
type block struct{ language, text, output string }

func readBlocks(t *testing.T) []block {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	for _, match := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllSubmatch(readme, -1) {
		language, text := string(match[1]), string(match[2])
		if language == "text" && len(blocks) > 0 {
			blocks[len(blocks)-1].output = text
			continue
		}
		blocks = append(blocks, block{language: language, text: text})
	}
	return blocks
}

// Every command in the README does what the README shows. `make run` is run as it is, with addresses and a data folder of this
// test; the tour's commands run in one shell, in their order, as a reader would type them. `make test` is what
// runs this, so here it is only looked up.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("skipped: the README's tour needs curl, which is not installed")
	}
	blocks := slices.DeleteFunc(readBlocks(t), func(b block) bool { return b.language != "sh" })
	i := slices.IndexFunc(blocks, func(b block) bool { return strings.Contains(b.text, "make run") })
	if i < 0 || !slices.ContainsFunc(blocks, func(b block) bool { return strings.Contains(b.text, "make test") }) {
		t.Fatal("the README must name its two commands, make run and make test")
	}
	if out, err := exec.Command("make", "-C", "../..", "-n", "test").CombinedOutput(); err != nil {
		t.Fatalf("make test: %v\n%s", err, out)
	}
	tour := newTour(t)
	tour.makeRun(t, blocks[i].output)
	for _, b := range blocks {
		if strings.Contains(b.text, "make run") || strings.Contains(b.text, "make test") {
			continue
		}
		got := tour.shell(t, b.text)
		if normal(got) != normal(b.output) {
			t.Errorf("commands\n%s\nprinted\n%s\nbut the README shows\n%s", b.text, got, b.output)
		}
	}
}

// tour is a reader with addresses of their own.
type tour struct {
	environment []string
	replace     *strings.Replacer
	state       string // where the shell's variables wait for the next block
}

func newTour(t *testing.T) *tour {
	t.Helper()
	api, grpc, dir := freeAddress(t), freeAddress(t), t.TempDir()
	return &tour{
		environment: append(os.Environ(), "IGNITE_DATA_DIR="+filepath.Join(dir, "data"), "IGNITE_HTTP_LISTEN_ADDR="+api,
			"IGNITE_API_LISTEN_ADDR="+grpc, "IGNITE_API_ENDPOINT="+grpc, "IGNITE_CONFIG_DIR="+filepath.Join(dir, "config"), "NO_COLOR=1"),
		replace: strings.NewReplacer("127.0.0.1:8080", api, "127.0.0.1:50051", grpc, "--data-dir .ignite", "--data-dir "+filepath.Join(dir, "data"), "/tmp/", dir+"/"),
		state:   filepath.Join(dir, "variables"),
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// makeRun leaves `make run` running until the test ends, and returns when it has said how to go on.
func (r *tour) makeRun(t *testing.T, shown string) {
	t.Helper()
	command := exec.Command("make", "-C", "../..", "--no-print-directory", "run")
	command.Env = r.environment
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var output lockedBuffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var ended error
	exited := make(chan struct{})
	go func() { ended = command.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGINT)
		select {
		case <-exited:
		case <-time.After(time.Minute):
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
			t.Errorf("make run does not stop:\n%s", output.String())
		}
	})
	limit := time.After(5 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(output.String(), "Ctrl-C stops it.") {
		select {
		case <-exited:
			t.Fatalf("make run ended: %v\n%s", ended, output.String())
		case <-limit:
			t.Fatalf("make run is not ready:\n%s", output.String())
		case <-tick.C:
		}
	}
	printed := normal(output.String())
	for line := range strings.Lines(shown) {
		want := normal(line)
		if want == "…" {
			continue
		}
		_, rest, found := strings.Cut(printed, want)
		if !found {
			t.Fatalf("make run does not print %q, or not in this order:\n%s", line, output.String())
		}
		printed = rest
	}
}

// A second `make run` says that the first is there, and does not talk to it with a token of its own.
func TestRunFindsItsAddressTaken(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(stranger.Close)
	r := newTour(t)
	command := exec.CommandContext(t.Context(), filepath.Join("..", "..", "examples", "run.sh"))
	command.Env = append(r.environment, "IGNITE_HTTP_LISTEN_ADDR="+stranger.Listener.Addr().String())
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "serves on "+stranger.URL+" already") {
		t.Errorf("%v: %s", err, out)
	}
}

// shell runs a block with the variables that the blocks before it left, and answers what a reader sees.
func (r *tour) shell(t *testing.T, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	script := fmt.Sprintf("set -eo pipefail\n[ -f %[1]s ] && . %[1]s\nset -a\n%[2]s\nexport -p > %[1]s\n", r.state, r.replace.Replace(text))
	command := exec.CommandContext(ctx, "bash", "-c", script)
	command.Dir, command.Env = filepath.Join("..", ".."), r.environment
	printed, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("commands\n%s\nfailed: %v\n%s", text, err, printed)
	}
	return string(printed)
}

// normal takes away what differs from run to run: ids, folders, hashes, numbers, tokens, space.
func normal(text string) string {
	for _, volatile := range []struct{ pattern, name string }{
		{`exec_[0-9A-Z]{26}`, "ID"},
		{`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`, "TOKEN"},
		{`\S+/ignited\.log`, "LOG"},
		{`[0-9]+([.:,µnm]?[0-9]+)*`, "N"},
		{`\bN ?(ms|s|µs|B|KiB|MiB)\b`, "N"},
		{`, "`, `,"`}, // protojson puts a space there in some builds, so that nobody relies on it
		{`\s+`, " "},
	} {
		text = regexp.MustCompile(volatile.pattern).ReplaceAllString(text, volatile.name)
	}
	return strings.TrimSpace(text)
}

// The README's table of settings is the one that the program has.
func TestReadmeConfigurationTable(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if table := configTable(); !bytes.Contains(readme, []byte(table)) {
		t.Errorf("the README lacks this table:\n%s", table)
	}
}
