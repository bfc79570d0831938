package process

import (
	"io"
	"net"
	"strconv"
)

// reserve keeps a port from the other servers of this machine until it is closed, or this process ends. The name is one of
// abstract unix sockets, which belong to the network that the ports belong to.
func reserve(port int) (io.Closer, error) {
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: "@ignite-pod-port-" + strconv.Itoa(port)})
}
