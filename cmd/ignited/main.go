// Command ignited is the server: gateway and worker roles in one process, with NATS JetStream inside unless
// IGNITE_NATS_URL names one.
package main

import (
	"context"
	"os"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
