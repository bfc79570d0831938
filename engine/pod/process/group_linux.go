package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownGroup makes a program the leader of a process group, and lets it die with the thread that starts it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns when the program has exited, and leaves its process id to it.
func awaitExit(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// waitLeader takes note of the exit of a program, and waits for its output. It calls ended while nobody else can have its process id yet.
func waitLeader(cmd *exec.Cmd, ended func()) error {
	ended()
	return cmd.Wait()
}

// awaitGone returns true when no process of the group or of the home is left, and kills those of the home meanwhile: what has left the
// group still has the home in its environment. Those of the group have been killed before; its number is 0 if it is not known.
func awaitGone(group int, h home, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for delay := time.Millisecond; ; delay = min(2*delay, 20*time.Millisecond) {
		reapAdopted(group)
		if !anyLeft(group, h) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(delay)
	}
}

// reapAdopted takes note of orphans that the kernel gave to us, as it does when the server is process 1 of a container.
func reapAdopted(group int) {
	for group > 0 {
		pid, err := unix.Wait4(-group, nil, unix.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}

// anyLeft kills what has the home in its environment and reports whether that, or anything in the group, is alive.
func anyLeft(group int, h home) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	left := false
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		switch stat, err := readStat(pid); {
		case err != nil || stat.dead:
		case hasHome(pid, h):
			_ = unix.Kill(pid, unix.SIGKILL) // it may have exited by now
			left = true
		case group > 0 && stat.group == group:
			left = true
		}
	}
	return left
}

func hasHome(pid int, h home) bool {
	environment, err := os.ReadFile(procFile(pid, "environ"))
	if err != nil {
		return false // gone, or another user's
	}
	return bytes.Contains(append([]byte{0}, environment...), []byte("\x00TMPDIR="+h.tempDir()+"\x00"))
}

// started tells this process from any other that has, had or will have its id.
func started(pid int) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	stat, err := readStat(pid)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + "/" + stat.started, nil
}

// awaitStopped returns when every thread of the process has stopped, which a signal to stop only asks for.
func awaitStopped(ctx context.Context, pid int) error {
	for delay := 100 * time.Microsecond; !allStopped(pid); delay = min(2*delay, 10*time.Millisecond) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
	}
	return nil
}

func allStopped(pid int) bool {
	threads, err := os.ReadDir(procFile(pid, "task"))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(procFile(pid, "task/"+thread.Name()+"/stat"))
		if err != nil {
			continue // it has just ended
		}
		if parsed, err := parseStat(stat); err != nil || !parsed.stopped && !parsed.dead {
			return false
		}
	}
	return len(threads) > 0
}

type procStat struct {
	dead    bool
	stopped bool
	group   int
	started string // in clock ticks since boot
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(data)
}

// parseStat reads the fields of proc_pid_stat(5) behind the program's name, which may hold spaces and parentheses itself.
func parseStat(data []byte) (procStat, error) {
	const state, group, started = 0, 2, 19
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) <= started {
		return procStat{}, fmt.Errorf("process state has only %d fields", len(fields))
	}
	number, err := strconv.Atoi(string(fields[group]))
	if err != nil {
		return procStat{}, fmt.Errorf("process group: %w", err)
	}
	return procStat{
		dead:    bytes.ContainsAny(fields[state], "ZX"),
		stopped: bytes.ContainsAny(fields[state], "Tt"),
		group:   number,
		started: string(fields[started]),
	}, nil
}

func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }
