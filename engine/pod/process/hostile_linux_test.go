package process_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/process"
)

// buildHostile builds the hostile app once.
var buildHostile = sync.OnceValues(func() (string, error) {
	program := filepath.Join(os.Getenv(programsVariable), "hostile")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./testdata/hostile")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the hostile app: %w: %s", err, output)
	}
	return program, nil
})

// server is a server's data folder, with a driver and the code of apps in it.
type server struct {
	*testing.T
	data   string
	driver *process.Driver
}

func newServer(t *testing.T, sandbox process.Sandbox) server {
	t.Helper()
	data := t.TempDir()
	for name, content := range map[string]string{"token.key": "key", "nats/store": "streams", "code/other/handler.py": "code"} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return server{t, data, openWith(t, process.Options{Dir: filepath.Join(data, "pods"), Hidden: []string{data}, Sandbox: sandbox})}
}

// needs skips a test of what this machine does not allow.
func (s server) needs(part string) {
	s.Helper()
	for _, missing := range s.driver.Confinement().Missing {
		if strings.HasPrefix(missing, part) {
			s.Skip(missing)
		}
	}
}

// app is a pod of the hostile app, whose code is in the data folder.
type app struct {
	*testing.T
	pod.Pod
	dir string
}

func (s server) spec() pod.Spec {
	s.Helper()
	program, err := buildHostile()
	if err != nil {
		s.Fatal(err)
	}
	dir := filepath.Join(s.data, "code", "own")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	// A copy might still be open for writing in a program that another test is starting, and then cannot be run.
	if err := os.Link(program, filepath.Join(dir, "hostile")); err != nil && !errors.Is(err, fs.ErrExist) {
		s.Fatal(err)
	}
	return pod.Spec{
		Name: "hostile-1-test", Org: "org", App: "hostile", Version: 1, Dir: dir, Command: []string{"./hostile"},
		Env: map[string]string{"SECRET": "of-this-pod"}, SocketActivation: true, HealthPath: "/",
	}
}

func (s server) start(spec pod.Spec) app {
	s.Helper()
	p, err := s.driver.Start(s.Context(), spec)
	if err != nil {
		s.Fatal(err)
	}
	return app{s.T, p, spec.Dir}
}

// try answers what the app gained, or how that failed.
func (a app) try(what string, with ...string) (string, error) {
	query := make(url.Values)
	for name, value := range pairs(with) {
		query.Set(name, value)
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(a.Addr().String() + "/" + what + "?" + query.Encode())
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	return string(body), err
}

func pairs(list []string) map[string]string {
	all := make(map[string]string)
	for pair := range slices.Chunk(list, 2) {
		all[pair[0]] = pair[1]
	}
	return all
}

func (a app) mustFail(what string, with ...string) {
	a.Helper()
	if gained, err := a.try(what, with...); err == nil {
		a.Errorf("%s %q gained %q", what, with, gained)
	} else {
		a.Logf("%s %q: %v", what, with, err)
	}
}

func (a app) mustGain(what string, with ...string) string {
	a.Helper()
	gained, err := a.try(what, with...)
	if err != nil {
		a.Errorf("%s %q: %v", what, with, err)
	}
	return gained
}

// Names of parts of the confinement, as Confinement says them.
const (
	limits     = "limits"
	own        = "a user"
	filter     = "a filter"
	landlock   = "files and signals"
	privileges = "no new privileges"
)

// A hostile app is kept from everything that is not its own.
func TestHostileApp(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(server){
		"the data folder":                  server.readsData,
		"the code of others":               server.readsCode,
		"its own code":                     server.writesCode,
		"outside of home and temp":         server.writesOutside,
		"its home and temp":                server.writesHome,
		"homes of other pods":              server.readsHomes,
		"other processes":                  server.seesProcesses,
		"signals to other processes":       server.signals,
		"privileges":                       server.hasPrivileges,
		"another user":                     server.becomesOther,
		"calls that change the machine":    server.callsKernel,
		"namespaces":                       server.makesNamespaces,
		"sockets that see all":             server.opensSockets,
		"sockets that apps need":           server.opensPlainSockets,
		"abstract sockets of the machine":  server.dialsAbstract,
		"memory over the limit":            server.takesMemory,
		"memory of a child over the limit": server.takesMemoryInChild,
		"processes over the limit":         server.startsMany,
		"processor time over the limit":    server.burnsTime,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attack(newServer(t, process.SandboxAuto))
		})
	}
}

func (s server) readsData() {
	a := s.start(s.spec())
	for _, path := range []string{"token.key", "nats/store"} {
		a.mustFail("read", "path", filepath.Join(s.data, path))
		a.mustFail("read", "path", "/proc/self/root/"+filepath.Join(s.data, path))
		a.mustFail("read", "path", "/proc/1/root/"+filepath.Join(s.data, path))
		a.mustFail("read", "path", "../../"+path)
	}
	a.mustFail("list", "path", s.data)
	a.mustFail("write", "path", filepath.Join(s.data, "token.key"))
}

func (s server) readsCode() {
	a := s.start(s.spec())
	a.mustFail("read", "path", filepath.Join(s.data, "code/other/handler.py"))
	a.mustFail("read", "path", "../other/handler.py")
	a.mustFail("list", "path", "..")
}

func (s server) writesCode() {
	a := s.start(s.spec())
	a.mustGain("read", "path", filepath.Join(a.dir, "hostile"))
	a.mustFail("write", "path", filepath.Join(a.dir, "new"))
	a.mustFail("write", "path", "new")
	a.mustFail("run", "line", "chmod 777 . && echo x >new")
}

func (s server) writesOutside() {
	a := s.start(s.spec())
	for _, dir := range []string{"/", "/etc", "/usr", "/usr/bin", "/home", "/var", "/run", "/dev", "/proc", "/sys/devices/system/cpu", "/opt", filepath.Dir(s.data)} {
		a.mustFail("write", "path", filepath.Join(dir, "hostile-was-here"))
	}
	for _, file := range []string{"/etc/passwd", "/bin/sh", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/mm/transparent_hugepage/enabled"} {
		a.mustFail("open", "path", file)
	}
}

// What a pod needs works: its folders, the machine's programs, harmless devices.
func (s server) writesHome() {
	a := s.start(s.spec())
	a.mustGain("run", "line", `echo x >"$HOME/file" && cat "$HOME/file" && echo y >"$TMPDIR/file" && mktemp && echo z >/dev/null && head -c 8 /dev/urandom | od`)
	a.mustGain("run", "line", `test "$(readlink /proc/self/exe)" && ls -l /proc/self/fd && cat /proc/meminfo >/dev/null`)
}

func (s server) readsHomes() {
	s.needs(own)
	victim, a := s.start(s.spec()), s.start(s.spec())
	victim.mustGain("write", "path", "/tmp/secret")
	victim.mustGain("write", "path", "/home/pod/secret")
	a.mustFail("read", "path", "/tmp/secret")
	a.mustFail("read", "path", "/home/pod/secret")
	a.mustFail("list", "path", filepath.Join(s.data, "pods"))
	homes, err := filepath.Glob(filepath.Join(s.data, "pods/pod-*/home/secret"))
	if err != nil || len(homes) != 1 {
		s.Fatalf("the victim's secret is in %q, %v", homes, err)
	}
	a.mustFail("read", "path", homes[0])
}

func (s server) seesProcesses() {
	s.needs(own)
	victim, a := s.start(s.spec()), s.start(s.spec())
	seen := a.mustGain("processes")
	if lines := strings.Split(seen, "\n"); len(lines) != 1 || !strings.Contains(seen, "hostile") {
		s.Errorf("these processes can be seen: %q", seen)
	}
	for _, pid := range []int{process.PID(victim.Pod), os.Getpid(), os.Getppid()} {
		for _, file := range []string{"environ", "status", "cmdline", "root/etc/passwd", "mem"} {
			a.mustFail("read", "path", fmt.Sprintf("/proc/%d/%s", pid, file))
		}
	}
}

func (s server) signals() {
	s.needs(own)
	victim, a := s.start(s.spec()), s.start(s.spec())
	for _, pid := range []int{process.PID(victim.Pod), os.Getpid(), os.Getppid()} {
		a.mustFail("signal", "pid", strconv.Itoa(pid))
	}
	_, _ = a.try("signal", "pid", "-1") // reaches all that can be reached; none in its namespace but itself
	victim.mustGain("")
}

func (s server) hasPrivileges() {
	s.needs(own)
	status := make(map[string]string)
	for line := range strings.Lines(s.start(s.spec()).mustGain("status")) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	for name, want := range map[string]string{
		"CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
		"CapInh": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2", "Groups": "",
	} {
		if status[name] != want {
			s.Errorf("%s is %q, want %q", name, status[name], want)
		}
	}
	if ids := strings.Fields(status["Uid"]); len(ids) != 4 || ids[0] == "0" || len(slices.Compact(ids)) != 1 || status["Uid"] != status["Gid"] {
		s.Errorf("user is %q, group is %q", status["Uid"], status["Gid"])
	}
	if !strings.HasSuffix(status["NSpid"], " 1") && status["NSpid"] != "1" {
		s.Errorf("process id is %q, want 1 in a namespace of its own", status["NSpid"])
	}
}

func (s server) becomesOther() {
	s.needs(own)
	a := s.start(s.spec())
	a.mustFail("become", "user", "0")
	a.mustFail("become", "user", strconv.Itoa(0x7A000000))
	a.mustFail("run", "line", "su -c id root </dev/null")
}

func (s server) callsKernel() {
	s.needs(filter)
	a := s.start(s.spec())
	for name, number := range map[string]int{
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT,
		"fsopen": unix.SYS_FSOPEN, "open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT, "mount_setattr": unix.SYS_MOUNT_SETATTR,
		"setns": unix.SYS_SETNS, "unshare": unix.SYS_UNSHARE, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT,
		"ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
		"pidfd_getfd": unix.SYS_PIDFD_GETFD, "kcmp": unix.SYS_KCMP,
		"reboot": unix.SYS_REBOOT, "kexec_load": unix.SYS_KEXEC_LOAD, "init_module": unix.SYS_INIT_MODULE, "finit_module": unix.SYS_FINIT_MODULE,
		"delete_module": unix.SYS_DELETE_MODULE, "swapon": unix.SYS_SWAPON, "settimeofday": unix.SYS_SETTIMEOFDAY,
		"clock_settime": unix.SYS_CLOCK_SETTIME, "sethostname": unix.SYS_SETHOSTNAME, "syslog": unix.SYS_SYSLOG, "acct": unix.SYS_ACCT,
		"bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY,
		"request_key": unix.SYS_REQUEST_KEY, "userfaultfd": unix.SYS_USERFAULTFD, "io_uring_setup": unix.SYS_IO_URING_SETUP,
		"io_uring_enter": unix.SYS_IO_URING_ENTER, "io_uring_register": unix.SYS_IO_URING_REGISTER, "fanotify_init": unix.SYS_FANOTIFY_INIT,
	} {
		if gained, err := a.try("call", "number", strconv.Itoa(number)); err == nil || err.Error() != unix.EPERM.Error() {
			s.Errorf("%s answered %q, %v, want %q", name, gained, err, unix.EPERM.Error())
		}
	}
	// Without it, C libraries use a call whose flags the filter sees. Where groups are of version 2, it is needed to start the pod.
	if _, err := a.try("call", "number", strconv.Itoa(unix.SYS_CLONE3)); err == nil {
		s.Error("clone3 is done")
	}
}

func (s server) makesNamespaces() {
	s.needs(filter)
	s.needs(own)
	a := s.start(s.spec())
	for _, flag := range []int{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, unix.CLONE_NEWCGROUP} {
		a.mustFail("clone", "flags", strconv.Itoa(flag))
		a.mustFail("clone", "flags", strconv.Itoa(flag|unix.CLONE_NEWUSER))
	}
	a.mustGain("clone", "flags", "0")
}

func (s server) opensSockets() {
	s.needs(filter)
	a := s.start(s.spec())
	for _, try := range []struct{ family, kind, protocol int }{
		{unix.AF_PACKET, unix.SOCK_RAW, 0}, {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
		{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
		{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, {unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, {unix.AF_XDP, unix.SOCK_RAW, 0}, {unix.AF_KEY, unix.SOCK_RAW, 2},
	} {
		a.mustFail("socket", "family", strconv.Itoa(try.family), "type", strconv.Itoa(try.kind), "protocol", strconv.Itoa(try.protocol))
	}
}

func (s server) opensPlainSockets() {
	a := s.start(s.spec())
	for _, try := range []struct{ family, kind, protocol int }{
		{unix.AF_INET, unix.SOCK_STREAM, 0}, {unix.AF_INET, unix.SOCK_DGRAM, 0}, {unix.AF_UNIX, unix.SOCK_STREAM, 0},
		{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE},
	} {
		a.mustGain("socket", "family", strconv.Itoa(try.family), "type", strconv.Itoa(try.kind), "protocol", strconv.Itoa(try.protocol))
	}
}

func (s server) dialsAbstract() {
	s.needs(landlock)
	name := "@" + filepath.Base(filepath.Dir(s.data)) + strconv.Itoa(os.Getpid())
	listener, err := net.Listen("unix", name)
	if err != nil {
		s.Fatal(err)
	}
	defer listener.Close()
	s.start(s.spec()).mustFail("dial", "network", "unix", "address", name)
}

func (s server) takesMemory() {
	s.needs(limits)
	spec := s.spec()
	spec.MemoryMB = 48
	a := s.start(spec)
	a.mustFail("memory", "mb", "200")
	s.await(a)
	exit, ok := errors.AsType[*pod.ExitError](a.Err())
	if !ok || !errors.Is(exit, pod.ErrOutOfMemory) || !strings.Contains(exit.Reason, "out of memory") || !strings.Contains(exit.Reason, "48 MB") {
		s.Errorf("the pod ended with %v", a.Err())
	}
}

// takesMemoryInChild: the limit is that of all processes of the pod together.
func (s server) takesMemoryInChild() {
	s.needs(limits)
	spec := s.spec()
	spec.MemoryMB = 48
	a := s.start(spec)
	a.mustFail("run", "line", "exec head -c 200m /dev/zero | tail")
}

func (s server) await(a app) {
	s.Helper()
	select {
	case <-a.Done():
	case <-time.After(20 * time.Second):
		s.Fatal("the pod did not end")
	}
}

func (s server) startsMany() {
	s.needs(limits)
	a := s.start(s.spec())
	_, err := a.try("start", "count", "600")
	if err == nil || !strings.Contains(err.Error(), unix.EAGAIN.Error()) {
		s.Errorf("600 processes ended with %v, want %q", err, unix.EAGAIN.Error())
	}
	a.mustGain("start", "count", "5")
}

func (s server) burnsTime() {
	s.needs(limits)
	spec := s.spec()
	spec.CPUMillicores = 200
	a := s.start(spec)
	a.mustGain("burn", "ms", "200")
	if throttled, err := process.Throttled(a.Pod); err != nil || throttled == 0 {
		s.Errorf("the pod was held back in %d periods, %v", throttled, err)
	}
}

// Without a sandbox the same app gains what the server's user may have: it does try.
func TestHostileAppWithoutSandbox(t *testing.T) {
	t.Parallel()
	s := newServer(t, process.SandboxOff)
	a := s.start(s.spec())
	if got := a.mustGain("read", "path", filepath.Join(s.data, "token.key")); got != "key" {
		t.Errorf("the key is %q", got)
	}
	a.mustGain("read", "path", "../other/handler.py")
	if seen := a.mustGain("processes"); len(strings.Split(seen, "\n")) < 2 {
		t.Errorf("these processes can be seen: %q", seen)
	}
	if found := s.driver.Confinement(); len(found.Applied)+len(found.Missing) > 0 {
		t.Errorf("confinement is %+v", found)
	}
}
