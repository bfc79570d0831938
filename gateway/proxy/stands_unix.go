//go:build unix

package proxy

import "golang.org/x/sys/unix"

// stands reports whether nothing was heard on a connection that was idle: neither its end, nor bytes that nobody asked for.
func (c *conn) stands() bool {
	if c.access == nil {
		return c.reader.Buffered() == 0
	}
	quiet := false
	err := c.access.Read(func(descriptor uintptr) bool {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(descriptor), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
		return true
	})
	return err == nil && quiet && c.reader.Buffered() == 0
}
