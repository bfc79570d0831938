// Package fault breaks a real Ignite and looks whether its promises hold. It builds ignited with the tag faults, runs it as a process with a
// real program as the pod, speaks to it through the public API over sockets, and kills, stops and cuts off what it can: ignited at
// every boundary between two effects and at random, one of two workers, NATS servers. The harness is in the files without _test; it
// asks nothing of the server's own packages but the names of the boundaries.
//
// What is checked, after each fault and at the end:
//
//   - every acknowledged execution reaches a terminal state, the one its request must lead to, with the result of that request
//   - a terminal record is never written again: the record's history is followed on NATS, and read from the files of a killed process
//   - no execution stays PENDING or RUNNING, also none of those whose submission was never acknowledged
//   - no work, delayed work or payload is left over
//   - the pod's own log of calls: a call that it saw twice must be explained by a fault in between, or by the answer it gave itself
//   - an idempotency key stands for one execution
//
// Without any fault of the platform an app's pods come and go as well: its versions and its scaling are changed under constant traffic, of which no call may
// fail and no WebSocket may end before its pod has drained (traffic.go).
//
// The short form runs with every `go test`; -long runs more of everything, and -soak sets how long the soak takes.
package fault
