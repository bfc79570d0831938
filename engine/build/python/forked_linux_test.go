package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
)

// forkery is a driver whose template is warm.
type forkery struct {
	*testing.T
	sandbox  process.Sandbox
	driver   *process.Driver
	runtime  *Runtime
	dir      string
	template int // process id
}

func TestForkedPods(t *testing.T) {
	t.Parallel()
	for _, sandbox := range []process.Sandbox{process.SandboxOff, process.SandboxAuto} {
		for name, test := range map[string]func(forkery){
			"like a plain one":          forkery.likeAPlainOne,
			"draws its own lots":        forkery.drawsItsOwnLots,
			"own modules come first":    forkery.ownModulesComeFirst,
			"time zone":                 forkery.timeZone,
			"secret":                    forkery.secretIsThePodsAlone,
			"exits before ready":        forkery.exitsBeforeReady,
			"crash":                     forkery.crash,
			"stop":                      forkery.stop,
			"stop what is busy":         forkery.stopBusy,
			"stop while it is imported": forkery.stopWhileImported,
			"start given up":            forkery.startGivenUp,
			"children":                  forkery.children,
			"many at once":              forkery.manyAtOnce,
			"template ends":             forkery.templateEnds,
			"close":                     forkery.closeEndsAll,
			"missing folder":            forkery.missingFolder,
			"out of memory":             forkery.outOfMemory,
			"freeze":                    forkery.freeze,
		} {
			t.Run(string(sandbox)+"/"+name, func(t *testing.T) {
				t.Parallel()
				f := forkery{T: t, sandbox: sandbox, runtime: New(t.TempDir()), dir: t.TempDir()}
				f.driver = openDriver(t, f.dir, sandbox, t.Output())
				warm(t, f.driver, f.runtime)
				f.template = recorded(t, f.dir)[0]
				test(f)
			})
		}
	}
}

// start starts a pod that is surely forked.
func (f forkery) start(spec pod.Spec) pod.Pod {
	f.Helper()
	p := startPod(f, f.driver, spec)
	ids := slices.DeleteFunc(recorded(f, f.dir), func(id int) bool { return id == f.template })
	for _, id := range ids {
		if parentOf(f, id) != f.template {
			f.Fatalf("process %d was not forked by the template", id)
		}
	}
	return p
}

func parentOf(t testing.TB, id int) (parent int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "PPid:"); ok {
			_, _ = fmt.Sscan(rest, &parent)
		}
	}
	return parent
}

func (f forkery) spec(handler string, env ...string) pod.Spec {
	f.Helper()
	return specOf(f, f.runtime, handler, env...)
}

// handlerOfFacts tells what an app can find out about its process.
const handlerOfFacts = `
import gc, locale, os, resource, signal, socket, sys, threading, time
def descriptors():
    # From 6 up are connections, and what was left open to the server of this test by whoever started it.
    found = {}
    for name in range(6):
        try:
            found[name] = os.readlink("/proc/self/fd/%d" % name).partition(":")[0]
        except OSError:
            pass
    return found
def status():
    wanted = ("Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "SigCgt", "Umask")
    with open("/proc/self/status") as lines:
        return [line for line in lines if line.startswith(wanted)]
def entries(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        return error.strerror
def handler(payload, ctx):
    varying = ("PORT", "HOME", "TMPDIR", "PWD")
    main = sys.modules["__main__"]
    return {
        "environment": {name: value for name, value in os.environ.items() if name not in varying},
        "varying": [name for name in varying if name in os.environ and name != "PWD"],
        "arguments": [os.path.splitext(argument)[0] for argument in sys.argv],
        "path": sys.path,
        "main": sorted(name for name in vars(main) if name[0] != "_"),
        "main's name": main.__name__,
        "strangers": [name for name in ("launcher", "template") if name in sys.modules],
        "flags": list(sys.flags),
        "encodings": [sys.stdout.encoding, sys.getfilesystemencoding(), locale.getpreferredencoding(), sys.stdout.write_through],
        "bytecode": sys.dont_write_bytecode,
        "folder": os.getcwd(),
        "descriptors": descriptors(),
        "inheritable": [number for number in range(3, 6) if os.path.exists("/proc/self/fd/%d" % number) and os.get_inheritable(number)],
        "input": os.fstat(0).st_rdev,
        "leader": os.getpgrp() == os.getpid(),
        "first": os.getpid() == 1,
        "limits": [resource.getrlimit(limit) for limit in range(10)],
        "signals": [str(signal.getsignal(number)).partition(" at ")[0] for number in range(1, 32)],
        "collector": [gc.isenabled(), gc.get_threshold()],
        "main thread": threading.main_thread().name,
        "priority": os.nice(0),
        "root": entries("/"),
        "processes": len([name for name in entries("/proc") if name.isdigit()]) if os.getpid() == 1 else 0,
        "status": status(),
        "user": [os.getuid() == 0, os.getuid() == os.geteuid() == os.getgid() == os.getegid(), os.access("/etc/shadow", os.R_OK)],
        "name": socket.gethostname(),
        "zone": time.tzname,
        "visible": open("/proc/self/environ").read().count("TMPDIR="),
    }
`

func (f forkery) likeAPlainOne() {
	spec := f.spec(handlerOfFacts, "GREETING=hello = world", "EMPTY=")
	plain := spec
	plain.Template = nil
	want, got := factsOf(f, startPod(f, f.driver, plain)), factsOf(f, startPod(f, f.driver, spec))
	if os.Geteuid() != 0 {
		// Only plain pods get a PID namespace from a server that is not root.
		delete(want, "first")
		delete(want, "processes")
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !reflect.DeepEqual(got[name], want[name]) {
			f.Errorf("%s: forked %v, plain %v", name, got[name], want[name])
		}
	}
}

func factsOf(t testing.TB, p pod.Pod) map[string]any {
	t.Helper()
	var facts map[string]any
	if err := json.Unmarshal([]byte(call(t, p, "")), &facts); err != nil {
		t.Fatal(err)
	}
	return facts
}

func (f forkery) drawsItsOwnLots() {
	spec := f.spec(`
import os, random, secrets, ssl, tempfile, uuid
def handler(payload, ctx):
    return [random.random(), secrets.token_hex(), ssl.RAND_bytes(8).hex(), uuid.uuid4().hex, next(tempfile._get_candidate_names())]
`)
	one, other := lots(f, f.start(spec)), lots(f, f.start(spec))
	for i := range one {
		if one[i] == other[i] {
			f.Errorf("two pods drew the same: %v", one[i])
		}
	}
}

func lots(t testing.TB, p pod.Pod) (drawn []any) {
	t.Helper()
	if err := json.Unmarshal([]byte(call(t, p, "")), &drawn); err != nil || len(drawn) == 0 {
		t.Fatal(drawn, err)
	}
	return drawn
}

// An app may call its modules what Python calls some of its own.
func (f forkery) ownModulesComeFirst() {
	files := map[string]string{
		"handler.py": "import email, html, uuid, queue.deep, urllib.request, email.mime.text as text\n" +
			"def handler(payload, ctx): return [email.X, uuid.X, queue.deep.X, html.escape('<'), text.X, urllib.request.__name__]\n",
		"email/__init__.py":        "X = 'own'",
		"email/mime/text.py":       "X = 'own part'",
		"queue/__init__.py":        "",
		"queue/deep.py":            "X = 'own package'",
		".ignite-packages/uuid.py": "X = 'required'",
		"html/page.txt":            "a folder is no module",
	}
	p := f.start(specIn(f, f.runtime, codeIn(f, files)))
	if got, want := call(f, p, ""), `["own", "required", "own package", "&lt;", "own part", "urllib.request"]`; got != want {
		f.Errorf("got %s, want %s", got, want)
	}
}

func (f forkery) timeZone() {
	p := f.start(f.spec("import time\ndef handler(payload, ctx): return time.strftime('%Z %z')", "TZ=XYZ-9"))
	if got := call(f, p, ""); got != "XYZ +0900" {
		f.Errorf("the pod's time zone is %q", got)
	}
}

// What one app was told must not be found in its template, nor in another app's pod.
func (f forkery) secretIsThePodsAlone() {
	secret := fmt.Sprintf("secret-%d", time.Now().UnixNano())
	p := f.start(f.spec("import os\ndef handler(payload, ctx): return os.environ['PASSWORD']", "PASSWORD="+secret))
	if got := call(f, p, ""); got != secret {
		f.Fatalf("the pod was told %q", got)
	}
	ids := recorded(f, f.dir)
	other := f.start(f.spec(handlerThatEchoes))
	call(f, other, "")
	for _, id := range recorded(f, f.dir) {
		switch owner := slices.Contains(ids, id) && id != f.template; {
		case owner && !holds(f, id, secret):
			f.Error("the secret is not found where it must be")
		case !owner && holds(f, id, secret):
			f.Errorf("process %d has another's secret (the template is %d)", id, f.template)
		}
	}
}

// holds reports whether a process has text in its memory.
func holds(t testing.TB, id int, text string) bool {
	t.Helper()
	regions, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", id))
	if errors.Is(err, os.ErrPermission) {
		t.Skip("only root may look into the template")
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", id))
	if err != nil {
		t.Skip("only root may look into the template")
	}
	defer memory.Close()
	for region := range strings.Lines(string(regions)) {
		var from, to int64
		var access string
		if _, err := fmt.Sscanf(region, "%x-%x %s", &from, &to, &access); err != nil || access[:2] != "rw" {
			continue
		}
		content := make([]byte, to-from)
		n, _ := memory.ReadAt(content, from) // some of the kernel's own cannot be read
		if strings.Contains(string(content[:n]), text) {
			return true
		}
	}
	return false
}

func (f forkery) exitsBeforeReady() {
	_, err := f.driver.Start(f.Context(), f.spec("raise RuntimeError('no database')"))
	failure, ok := errors.AsType[*pod.StartError](err)
	if !ok || failure.Reason != "it exited with code 1 before it was ready" || !strings.Contains(err.Error(), "RuntimeError: no database") {
		f.Errorf("got %v", err)
	}
	if left := recorded(f, f.dir); len(left) != 1 {
		f.Errorf("left are %v, the template is %d", left, f.template)
	}
}

func (f forkery) crash() {
	for payload, want := range map[string]string{"3": "it exited with code 3", "-11": "it was ended by signal SIGSEGV"} {
		p := f.start(f.spec(`
import ctypes, os, sys
def handler(payload, ctx):
    print("I go", file=sys.stderr)
    code = int(payload)
    if code > 0:
        os._exit(code)
    ctypes.string_at(0)
`))
		if response, err := postTo(p, payload); err == nil {
			response.Body.Close()
			f.Errorf("the call is answered with %s", response.Status)
		}
		<-p.Done()
		ended, ok := errors.AsType[*pod.ExitError](p.Err())
		if !ok || ended.Reason != want || !slices.Contains(ended.Log, "I go") {
			f.Errorf("got %v, want %s", p.Err(), want)
		}
	}
}

func (f forkery) stop() {
	p := f.start(f.spec("import atexit\natexit.register(print, 'goodbye')\n" + handlerThatEchoes))
	call(f, p, "")
	f.mustStop(p)
	if p.Err() != nil || !slices.Contains(p.Logs(), "goodbye") {
		f.Errorf("it ended with %v and the log %q", p.Err(), p.Logs())
	}
	if left := recorded(f, f.dir); len(left) != 1 {
		f.Errorf("left are %v, the template is %d", left, f.template)
	}
}

func (f forkery) mustStop(p pod.Pod) {
	f.Helper()
	if err := p.Stop(f.Context()); err != nil {
		f.Fatal(err)
	}
	select {
	case <-p.Done():
	default:
		f.Error("Stop returned before the end")
	}
}

func (f forkery) stopBusy() {
	line := newLifeline(f)
	spec := f.spec(line.handler("def handler(payload, ctx): hold()"))
	spec.StopGrace = 100 * time.Millisecond
	p := f.start(spec)
	var calling sync.WaitGroup
	defer calling.Wait()
	calling.Go(func() {
		if response, err := postTo(p, ""); err == nil {
			response.Body.Close()
			f.Errorf("the call is answered with %s", response.Status)
		}
	})
	held := line.take()
	f.mustStop(p)
	line.mustBeCut(held)
	if p.Err() != nil {
		f.Errorf("it ended with %v", p.Err())
	}
}

// The kernel does not give TERM to the first process of a PID namespace before that asks for it.
func (f forkery) stopWhileImported() {
	line := newLifeline(f)
	spec := f.spec(line.handler("hold()"))
	spec.HealthPath = "" // so that it is ready at once
	p := f.start(spec)
	held := line.take()
	began := time.Now()
	f.mustStop(p)
	line.mustBeCut(held)
	if took := time.Since(began); took > 8*time.Second {
		f.Errorf("the stop took %v, as if TERM had not been heard", took)
	}
}

func (f forkery) startGivenUp() {
	line := newLifeline(f)
	ctx, cancel := context.WithCancel(f.Context())
	var starting sync.WaitGroup
	starting.Go(func() {
		p, err := f.driver.Start(ctx, f.spec(line.handler("hold()")))
		if !errors.Is(err, context.Canceled) {
			f.Errorf("Start answered %v, %v", p, err)
		}
	})
	held := line.take()
	cancel()
	starting.Wait()
	line.mustBeCut(held)
}

// What a pod forks dies with it, also when it has left its process group.
func (f forkery) children() {
	line := newLifeline(f)
	p := f.start(f.spec(line.handler(`
import os
def handler(payload, ctx):
    if os.fork() == 0:
        if payload == b"alone":
            os.setsid()
        hold()
    return b""
`)))
	call(f, p, "")
	child := line.take()
	call(f, p, "alone")
	alone := line.take()
	f.mustStop(p)
	line.mustBeCut(child)
	line.mustBeCut(alone)
}

func (f forkery) manyAtOnce() {
	spec := f.spec("import random\nlot = random.random()\ndef handler(payload, ctx): return lot")
	pods, lots := make([]pod.Pod, 50), make([]string, 50)
	var starting sync.WaitGroup
	for i := range pods {
		starting.Go(func() {
			p, err := f.driver.Start(f.Context(), spec)
			if err != nil {
				f.Error(err)
				return
			}
			pods[i], lots[i] = p, call(f, p, "")
		})
	}
	starting.Wait()
	slices.Sort(lots)
	if distinct := slices.Compact(lots); len(distinct) != len(pods) {
		f.Fatalf("%d pods drew %d different lots", len(pods), len(distinct))
	}
	for _, p := range pods {
		starting.Go(func() { f.mustStop(p) })
	}
	starting.Wait()
}

func (f forkery) templateEnds() {
	line := newLifeline(f)
	p := f.start(f.spec(line.handler("import threading\nthreading.Thread(target=hold, daemon=True).start()\n" + handlerThatEchoes)))
	held := line.take()
	if err := unix.Kill(f.template, unix.SIGKILL); err != nil {
		f.Fatal(err)
	}
	<-p.Done()
	line.mustBeCut(held)
	ended, ok := errors.AsType[*pod.ExitError](p.Err())
	if !ok || ended.Reason != "it was ended, because the template that it was forked from ended" {
		f.Errorf("got %v", p.Err())
	}
	call(f, startPod(f, f.driver, f.spec(handlerThatEchoes)), "")
	warm(f, f.driver, f.runtime)
}

func (f forkery) closeEndsAll() {
	line := newLifeline(f)
	f.start(f.spec(line.handler("import threading\nthreading.Thread(target=hold, daemon=True).start()\n" + handlerThatEchoes)))
	held := line.take()
	if err := f.driver.Close(f.Context()); err != nil {
		f.Error(err)
	}
	line.mustBeCut(held)
	if err := unix.Kill(f.template, 0); !errors.Is(err, unix.ESRCH) {
		f.Errorf("the template is still there: %v", err)
	}
	if left := recorded(f, f.dir); len(left) > 0 {
		f.Errorf("records are left of %v", left)
	}
}

func (f forkery) missingFolder() {
	spec := f.spec(handlerThatEchoes)
	spec.Dir += "/missing"
	if _, err := f.driver.Start(f.Context(), spec); err == nil || !strings.Contains(err.Error(), "no such file") {
		f.Errorf("got %v", err)
	}
	call(f, f.start(f.spec(handlerThatEchoes)), "")
}

func (f forkery) outOfMemory() {
	if missing := strings.Join(f.driver.Confinement().Missing, " "); f.sandbox == process.SandboxOff || strings.Contains(missing, "limits of memory") {
		f.Skip("pods have no limit of memory here")
	}
	spec := f.spec("def handler(payload, ctx): return len(b'x' * (200 << 20))")
	spec.MemoryMB = 100
	p := f.start(spec)
	if response, err := postTo(p, ""); err == nil {
		response.Body.Close()
		f.Errorf("the call is answered with %s", response.Status)
	}
	<-p.Done()
	if err := p.Err(); !errors.Is(err, pod.ErrOutOfMemory) {
		f.Errorf("it ended with %v", err)
	}
}

func (f forkery) freeze() {
	p := f.start(f.spec(handlerThatEchoes))
	call(f, p, "")
	freezer := p.(pod.Freezer)
	if err := freezer.Freeze(f.Context()); err != nil {
		f.Fatal(err)
	}
	// Without a control group it is a signal that stops a pod, which needs a moment.
	if f.sandbox != process.SandboxOff && answersWithin(f, p, 100*time.Millisecond) {
		f.Error("a frozen pod answers")
	}
	if err := freezer.Thaw(f.Context()); err != nil {
		f.Fatal(err)
	}
	call(f, p, "")
	if err := freezer.Freeze(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.mustStop(p)
}

func answersWithin(t testing.TB, p pod.Pod, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}

// lifeline is where a pod connects, so that its test learns of its end.
type lifeline struct {
	t        testing.TB
	listener net.Listener
}

func newLifeline(t testing.TB) lifeline {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return lifeline{t, listener}
}

// handler gives code the function hold, which connects and never returns.
func (l lifeline) handler(code string) string {
	return fmt.Sprintf(`
import socket
def hold():
    line = socket.create_connection(("127.0.0.1", %d))
    while True:
        line.recv(1)
%s
`, l.listener.Addr().(*net.TCPAddr).Port, code)
}

func (l lifeline) take() net.Conn {
	l.t.Helper()
	connection, err := l.listener.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { connection.Close() })
	return connection
}

func (l lifeline) mustBeCut(connection net.Conn) {
	l.t.Helper()
	if err := connection.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		l.t.Fatal(err)
	}
	if _, err := connection.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		l.t.Error("a process of the pod is still running")
	}
}
