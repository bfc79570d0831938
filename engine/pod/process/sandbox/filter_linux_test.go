package sandbox

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// machine runs a filter as the kernel would.
type machine struct {
	*testing.T
	*bpf.VM
}

func newMachine(t *testing.T, allow Allowances) machine {
	t.Helper()
	filter, err := Filter(allow)
	if err != nil {
		t.Fatal(err)
	}
	var program []bpf.Instruction
	for at := 0; at < len(filter); at += 8 {
		program = append(program, bpf.RawInstruction{
			Op: binary.NativeEndian.Uint16(filter[at:]), Jt: filter[at+2], Jf: filter[at+3], K: binary.NativeEndian.Uint32(filter[at+4:]),
		}.Disassemble())
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return machine{t, vm}
}

// answer is what the filter does with a call; the interpreter reads numbers as networks write them, where the kernel reads its own.
func (m machine) answer(architecture uint32, number int, arguments ...uint64) seccomp.Action {
	m.Helper()
	data := binary.BigEndian.AppendUint32(nil, uint32(number))
	data = binary.BigEndian.AppendUint32(data, architecture)
	data = binary.BigEndian.AppendUint64(data, 0) // where the call comes from
	for i := range 6 {
		var argument uint64
		if i < len(arguments) {
			argument = arguments[i]
		}
		high, low := uint32(argument>>32), uint32(argument)
		if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
			high, low = low, high
		}
		data = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(data, high), low)
	}
	answer, err := m.VM.Run(data)
	if err != nil {
		m.Fatal(err)
	}
	return seccomp.Action(answer)
}

func TestFilter(t *testing.T) {
	t.Parallel()
	native, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	m := newMachine(t, Allowances{})
	const high = 1 << 32 // of an argument that the kernel takes as 32 bits
	for name, test := range map[string]struct {
		number    int
		arguments []uint64
		want      seccomp.Action
	}{
		"read":                      {unix.SYS_READ, nil, seccomp.ActionAllow},
		"execve":                    {unix.SYS_EXECVE, nil, seccomp.ActionAllow},
		"mount":                     {unix.SYS_MOUNT, nil, refuse(unix.EPERM)},
		"ptrace":                    {unix.SYS_PTRACE, nil, refuse(unix.EPERM)},
		"thread":                    {unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, seccomp.ActionAllow},
		"process":                   {unix.SYS_CLONE, []uint64{unix.CLONE_VFORK | unix.CLONE_PIDFD | uint64(unix.SIGCHLD)}, seccomp.ActionAllow},
		"user namespace":            {unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, refuse(unix.EPERM)},
		"namespaces":                {unix.SYS_CLONE, []uint64{unix.CLONE_VFORK | unix.CLONE_NEWNET | unix.CLONE_NEWNS}, refuse(unix.EPERM)},
		"clone3":                    {unix.SYS_CLONE3, nil, refuse(unix.ENOSYS)},
		"inet":                      {unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM}, seccomp.ActionAllow},
		"unix":                      {unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_STREAM}, seccomp.ActionAllow},
		"packet":                    {unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RAW}, refuse(unix.EAFNOSUPPORT)},
		"packet, upper bits":        {unix.SYS_SOCKET, []uint64{unix.AF_PACKET | high, unix.SOCK_RAW}, refuse(unix.EAFNOSUPPORT)},
		"routes":                    {unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, seccomp.ActionAllow},
		"packet filter":             {unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, refuse(unix.EAFNOSUPPORT)},
		"packet filter, upper bits": {unix.SYS_SOCKET, []uint64{unix.AF_NETLINK | high, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, refuse(unix.EAFNOSUPPORT)},
	} {
		if got := m.answer(uint32(native.ID), test.number, test.arguments...); got != test.want {
			t.Errorf("%s: the filter answers %#x, want %#x", name, uint32(got), uint32(test.want))
		}
	}
}

// Calls by another numbering are not judged by ours.
func TestFilterOfOtherArchitectures(t *testing.T) {
	t.Parallel()
	native, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	m := newMachine(t, Allowances{})
	for _, other := range []*arch.Info{arch.I386, arch.ARM, arch.X86_64, arch.AARCH64} {
		if other.ID == native.ID {
			continue
		}
		if got := m.answer(uint32(other.ID), unix.SYS_READ); got != refuse(unix.ENOSYS) {
			t.Errorf("a call of %s is answered with %#x", other.Name, uint32(got))
		}
	}
	if native.ID == arch.X86_64.ID {
		if got := m.answer(uint32(native.ID), int(arch.X32.SeccompMask)|unix.SYS_READ); got != refuse(unix.ENOSYS) {
			t.Errorf("a call of x32 is answered with %#x", uint32(got))
		}
	}
}

func TestAllowances(t *testing.T) {
	t.Parallel()
	native, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	m := newMachine(t, Allowances{CloneFlags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID, Clone3: true})
	if got := m.answer(uint32(native.ID), unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_NEWPID); got != seccomp.ActionAllow {
		t.Errorf("namespaces that are needed are answered with %#x", uint32(got))
	}
	if got := m.answer(uint32(native.ID), unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_NEWNET); got != refuse(unix.EPERM) {
		t.Errorf("others are answered with %#x", uint32(got))
	}
	if got := m.answer(uint32(native.ID), unix.SYS_CLONE3); got != seccomp.ActionAllow {
		t.Errorf("clone3 is answered with %#x", uint32(got))
	}
}

// The thread that a filter is on has it, and the process's others do not.
func TestInstall(t *testing.T) {
	t.Parallel()
	filter, err := Filter(Allowances{})
	if err != nil {
		t.Fatal(err)
	}
	err = On(func() error {
		if err := errors.Join(NoNewPrivileges(), Install(filter)); err != nil {
			return err
		}
		return unix.Unshare(unix.CLONE_FS)
	})
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("the thread with the filter answered %v", err)
	}
	if err := On(func() error { return unix.Unshare(unix.CLONE_FS) }); err != nil {
		t.Errorf("another thread answered %v", err)
	}
}

func TestGoIsNeverOnTheFirstThread(t *testing.T) {
	t.Parallel()
	for range 100 {
		if err := On(func() error {
			if isFirstThread() {
				return errors.New("it is the first thread")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
