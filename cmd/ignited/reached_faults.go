//go:build faults

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/gateway"
)

// faultVariable names the boundary at which the process kills itself, and after a colon at which passage: "record-settled:3".
const faultVariable = "IGNITE_FAULT_AT"

// reached kills the process at the boundary that the environment names. It is a kill like any other: nothing is flushed, closed or said.
func reached() (func(engine.Boundary), func(gateway.Boundary)) {
	name, count, _ := strings.Cut(os.Getenv(faultVariable), ":")
	if name == "" {
		return nil, nil
	}
	last, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		last = 1
	}
	var passages atomic.Int64
	pass := func(boundary string) {
		if boundary == name && passages.Add(1) == last {
			_, _ = fmt.Fprintln(os.Stderr, "fault:", boundary)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal comes, but not before this goroutine may go on
		}
	}
	return func(b engine.Boundary) { pass(string(b)) }, func(b gateway.Boundary) { pass(string(b)) }
}
