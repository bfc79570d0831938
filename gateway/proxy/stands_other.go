//go:build !unix

package proxy

// stands cannot ask here without waiting; what turns out to be closed is an error of the call, or a repetition where it may be repeated.
func (c *conn) stands() bool { return c.reader.Buffered() == 0 }
