package ignite

import (
	"cmp"
	"fmt"
	"net"
	"os"
)

const (
	// inherited is the descriptor of a listening socket that is handed over, as systemd does it: calls can come before anybody accepts
	// them, so nobody has to ask whether the process is ready.
	inherited = 3
	// defaultPort is for a program that is run by hand.
	defaultPort = "8080"
)

// listen answers the first socket that was handed over, or else one on $PORT.
func listen() (net.Listener, error) {
	if fds := os.Getenv("LISTEN_FDS"); fds == "" || fds == "0" {
		return net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), defaultPort))
	}
	// Programs that this one starts have no such descriptor.
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("unset %s: %w", name, err)
		}
	}
	file := os.NewFile(inherited, "listener")
	defer file.Close() // the listener has a copy
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("take over the socket that LISTEN_FDS announces: %w", err)
	}
	return listener, nil
}
