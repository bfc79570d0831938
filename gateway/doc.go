// Package gateway turns requests into calls on ours, and ours into answers.
//
// # Surfaces
//
// There are two listeners. One speaks gRPC: the service, health, reflection. The other speaks HTTP: the same service as JSON, and every
// app under a host name of its own. All of them lead to one service, and before it stands one guard:
//
//	gRPC ───────────────────────────► guard ─► service ─► store, stream, Dispatcher ─► pod
//	HTTP /v1/… ─► grpc-gateway ─────► guard ─► service
//	HTTP invoke, invoke-async, watch ► guard ─► service
//	HTTP <app>-<org>.<base domain> ─► guard ─────────────► Dispatcher ─► pod
//
// guard names a call, logs it, asks who calls (gateway/auth), whether they have the scope, and whether the organization is theirs. It turns errors into
// what callers see: errors.go is the one table. An error that is not in it is Internal; its text goes to the log, under an id
// that the caller gets.
//
// # Promises
//
// An id that InvokeAsync answered is known to GetExecution from that moment on, through every gateway, until its retention ends: record
// and work are acknowledged and on disk before the id is told. Nothing else waits for the disk here.
//
// The order of a submission: key claimed, large body put aside, record and work stored side by side, one sync, the id answered. With a key the
// work comes before the record, so that a repetition that finds the record finds an accepted execution, and one that finds none goes on in
// its place, under its id. What a submission left that was refused is taken away before the refusal is told, and its key is
// free; if NATS did not answer, what it was to store may be stored, and with it the key stays.
//
// A submission that was cut off may leave work, a large body or a record without its counterpart, under an id that nobody was told: the engine's reaper
// ends and deletes them.
//
// A caller's deadline does not cut a submission short. It is answered a little before, as UNAVAILABLE with a time to try again, and what was begun
// goes on alone.
//
// Authorization, Cookie and Proxy-Authorization are taken out of an envelope before anything of it is stored or compared.
//
// Invoke makes no record. Nothing is sent to a second pod once a byte has reached a pod, let alone the caller. A pod that fails on the way shows as a
// gRPC error in place of the trailer, or as an HTTP answer that breaks off without trailers; what came before is valid. A caller
// who leaves disconnects the pod.
//
// A watcher gets the current record at once and every later state that lasts long enough to be read, and all output of the last
// attempt before the terminal record, which comes last and alone carries the result. It holds no consumer and no goroutine of its own
// beyond that of its call.
//
// Over HTTP a body is refused by its announced length, and its sender asked for a token, before any of it is read; over gRPC a message
// is read first, up to the limits. A token goes neither to a pod, nor into a log, nor into the store.
//
// # Stopping
//
// When the context of Serve ends: readiness off, no new calls (gRPC refuses connections, HTTP answers 503); watches end with UNAVAILABLE, for they can go on
// elsewhere; calls that run may finish within DrainTime and are cut then. Serve returns when all of its goroutines are gone.
package gateway
