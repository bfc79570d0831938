//go:build !linux

package process

import "io"

// reserve keeps a port from nobody: there are no names that go with the process that holds them.
func reserve(int) (io.Closer, error) { return io.NopCloser(nil), nil }
