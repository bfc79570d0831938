//go:build !linux

package sandbox

// isFirstThread does not matter where threads have nothing of their own.
func isFirstThread() bool { return false }
