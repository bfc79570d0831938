package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Versions of Landlock's interface in which something was added.
const (
	versionOfRefer    = 2
	versionOfTruncate = 3
	versionOfDevices  = 5
	// From the version before on, signals could be kept in. Only from this one on that spares signals between the threads of one process,
	// which Go's scheduler lives on.
	versionOfScopes = 7
)

const (
	reading     = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writingFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	writing     = writingFile | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	onlyFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | writingFile
	scopes    = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
)

// LandlockVersion is that of the kernel's interface, 0 if it has none that may be used.
func LandlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// LandlockScopes reports whether the kernel keeps signals, and sockets without a file, among the processes that have the same rules.
func LandlockScopes() bool { return LandlockVersion() >= versionOfScopes }

// Paths are files and folders, these with all that is in them. Those that do not exist are passed over.
type Paths struct {
	// ReadOnly may be read and executed, Writable may be changed too. All else is out of reach.
	ReadOnly, Writable []string
}

// ScopeRules keep signals, and sockets without a file, among the processes that have them, and leave files alone.
func ScopeRules() (*os.File, error) { return newRules(0) }

// PathRules are ScopeRules, if the kernel knows them, and allow nothing but paths.
func PathRules(paths Paths) (_ *os.File, err error) {
	handled := handledAccess(LandlockVersion())
	rules, err := newRules(handled)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rules.Close())
		}
	}()
	for _, path := range paths.ReadOnly {
		if err := allow(rules, path, reading&handled); err != nil {
			return nil, err
		}
	}
	for _, path := range paths.Writable {
		if err := allow(rules, path, (reading|writing)&handled); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// handledAccess is all that the version can refuse of what is done to files.
func handledAccess(version int) uint64 {
	handled := uint64(reading | writing)
	if version < versionOfRefer {
		handled &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version < versionOfTruncate {
		handled &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version < versionOfDevices {
		handled &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return handled
}

func newRules(handled uint64) (*os.File, error) {
	attributes := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	size := unsafe.Offsetof(attributes.Handled_access_net)
	if LandlockScopes() {
		attributes.Scoped = scopes
		size = unsafe.Offsetof(attributes.Quiet_access_fs)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attributes)), size, 0)
	if errno != 0 {
		return nil, fmt.Errorf("make Landlock rules: %w", errno)
	}
	return os.NewFile(fd, "landlock rules"), nil
}

// allow adds path to the rules.
func allow(rules *os.File, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= onlyFiles
	}
	rule := beneath{access: access, fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules.Fd(), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("allow %s: %w", path, errno)
	}
	return nil
}

// beneath is a rule as the kernel reads it: without the padding at the end, which it does not look at.
type beneath struct {
	access uint64
	fd     int32
}

// Restrict holds the calling thread to rules, for good. It needs NoNewPrivileges or root.
func Restrict(rules *os.File) error {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules.Fd(), 0, 0); errno != 0 {
		return fmt.Errorf("restrict by Landlock: %w", errno)
	}
	return nil
}
