package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// forbidden are the calls that no program of an app needs: those that change the machine, look into other processes, or reach parts of
// the kernel that have been broken out of before.
var forbidden = []string{
	// mounts and namespaces
	"mount", "umount2", "umount", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree", "open_tree_attr",
	"mount_setattr", "setns", "unshare", "name_to_handle_at", "open_by_handle_at", "listmount", "statmount",
	// other processes
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
	// the machine
	"reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "swapon", "swapoff",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname", "iopl", "ioperm", "acct",
	"quotactl", "quotactl_fd", "syslog", "vhangup", "nfsservctl", "lookup_dcookie", "fanotify_init",
	// parts of the kernel that an app does without
	"bpf", "perf_event_open", "add_key", "request_key", "keyctl", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"modify_ldt", "vm86", "vm86old", "uselib", "ustat", "sysfs", "_sysctl",
}

// namespaces are the flags of clone that make one.
var namespaces = []uint64{
	unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWUSER, unix.CLONE_NEWPID, unix.CLONE_NEWNET,
}

// families are the kinds of sockets that apps may have.
var families = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6}

// Allowances are what a filter lets through because the thread that it is installed on needs it to start the program.
type Allowances struct {
	// CloneFlags are the namespaces that the program is started in by clone itself. The program can make the same ones.
	CloneFlags uintptr
	// Clone3 is needed to start a program in a cgroup of version 2. Its flags are out of a filter's sight, so the program can make
	// a user namespace with it, in which there is still no mounting and no other call that is forbidden.
	Clone3 bool
}

// Filter is a program for the kernel that refuses what apps have no use for. Everything else is allowed: programs in any language
// are to run, and a call that is forbidden by mistake breaks them in ways that nobody understands.
func Filter(allow Allowances) ([]byte, error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: groups(machine, allow)}
	rules, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	raw, err := bpf.Assemble(append(otherArchitecturesRefused(machine), rules...))
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	return encode(raw), nil
}

// otherArchitecturesRefused begins the filter: the calls of another architecture have other numbers, and the rules after it let all of
// them pass.
func otherArchitecturesRefused(machine *arch.Info) []bpf.Instruction {
	const offsetOfArch = 4
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetOfArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(refuse(unix.ENOSYS))},
	}
}

func refuse(err unix.Errno) seccomp.Action {
	return seccomp.ActionErrno | seccomp.Action(err)
}

func groups(machine *arch.Info, allow Allowances) []seccomp.SyscallGroup {
	known := func(name string) bool { _, ok := machine.SyscallNames[name]; return ok }
	names := slices.DeleteFunc(slices.Clone(forbidden), func(name string) bool { return !known(name) })
	all := []seccomp.SyscallGroup{
		{Action: refuse(unix.EPERM), Names: names, NamesWithCondtions: cloning(allow)},
		{Action: refuse(unix.EAFNOSUPPORT), NamesWithCondtions: sockets()},
	}
	if !allow.Clone3 && known("clone3") {
		// C libraries fall back to clone, whose flags can be seen.
		all = append(all, seccomp.SyscallGroup{Action: refuse(unix.ENOSYS), Names: []string{"clone3"}})
	}
	return all
}

func cloning(allow Allowances) []seccomp.NameWithConditions {
	var refused []seccomp.NameWithConditions
	for _, flag := range namespaces {
		if uint64(allow.CloneFlags)&flag != 0 {
			continue
		}
		refused = append(refused, seccomp.NameWithConditions{
			Name:       "clone",
			Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: flag}},
		})
	}
	return refused
}

// sockets refuses all families but families, and but the one of netlink by which C libraries list the machine's addresses.
func sockets() []seccomp.NameWithConditions {
	var other seccomp.ArgumentConditions
	for _, family := range append(slices.Clone(families), unix.AF_NETLINK) {
		other = append(other, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: family})
	}
	netlink := seccomp.ArgumentConditions{
		{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_NETLINK},
		{Argument: 2, Operation: seccomp.NotEqual, Value: unix.NETLINK_ROUTE},
	}
	var refused []seccomp.NameWithConditions
	for _, name := range []string{"socket", "socketpair"} {
		refused = append(refused, seccomp.NameWithConditions{Name: name, Conditions: other}, seccomp.NameWithConditions{Name: name, Conditions: netlink})
	}
	return refused
}

// encode lays instructions out as the kernel reads them.
func encode(raw []bpf.RawInstruction) []byte {
	var program []byte
	for _, instruction := range raw {
		program = binary.NativeEndian.AppendUint16(program, instruction.Op)
		program = append(program, instruction.Jt, instruction.Jf)
		program = binary.NativeEndian.AppendUint32(program, instruction.K)
	}
	return program
}

// Install puts a filter on the calling thread, for good. It needs NoNewPrivileges or root.
func Install(filter []byte) error {
	program := unix.SockFprog{Len: uint16(len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))), Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(filter)))}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("install filter of system calls: %w", err)
	}
	return nil
}
