package sandbox

import "golang.org/x/sys/unix"

func isFirstThread() bool { return unix.Gettid() == unix.Getpid() }
