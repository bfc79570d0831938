// Package gateway turns requests into calls on ours, and ours into answers.
//
// # Surfaces
//
// There are two listeners. One speaks gRPC: the service, health, reflection. The other speaks HTTP: the same service as JSON, and every
// app under a host name of its own. All of them lead to one service, and before it stands one guard:
//
//	gRPC ───────────────────────────► guard ─► service ─► store, stream, Dispatcher ─► pod
//	HTTP /v1/… ─► grpc-gateway ─────► guard ─► service
//	HTTP /v1/…: invocations, an     ► guard ─► service
//	  execution, its answer, its watch
//	HTTP <app>-<org>.<base domain> ─► visit ─► Dispatcher ─► gateway/proxy ─► pod
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
// free; if NATS did not answer, what it was to store may be stored, and with it the key stays. A repetition that went on while the first was refused
// is not told an id but to try again.
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
// A watcher gets the current record at once and every later state that lasts long enough to be read, and all output before the record
// that follows it: attempt by attempt, with a frame where the next one begins, after which nothing of an earlier one comes. The terminal record comes
// last and alone carries the result. It may begin at any chunk that is stored, at any gateway, as long as there is a record. One that reads slowly
// is served from the store at its pace; output that is gone is an error, never a gap.
//
// Who waits in GetExecution gets the first change that comes after what they know, or the record as it is when their time is over.
//
// Watchers and waiters hold no consumer, and no goroutine beyond that of their call.
//
// A cancellation is a compare-and-set on the record like any other end. Once it is answered the record is CANCELLED, on disk, for good; a pod may still
// be busy with the call until its worker, who is told, has cut it.
//
// The answer of an execution (…/response) is the pod's, given under the API's own name. A browser that shows it is told to run and load nothing
// and to take it for a page of nowhere (Content-Security-Policy: sandbox); headers that would speak for the origin (cookies, Clear-Site-Data,
// CORS, service workers, demands for a password) or let others keep it are left out, and stand in the record. With X-Ignite-Execution-Status it is
// the pod's; without, it is an error of ours. What broke off is no answer.
//
// A direct call passes through gateway/proxy as it is, whatever its size. It is counted once, under the app that a pod was sought for; counts are
// stored within a second and before Serve returns, and a process that is killed loses those of its last second.
//
// Over the API a body is refused by its announced length, and its sender asked for a token, before any of it is read; over gRPC a message
// is read first, up to the limits. A token goes neither to a pod, nor into a log, nor into the store.
//
// # Stopping
//
// When the context of Serve ends: readiness off, no new calls (gRPC refuses connections, HTTP answers 503); watches end with UNAVAILABLE, for they can go on
// elsewhere, and who waits in GetExecution is answered; calls that run may finish within DrainTime and are cut then. Serve returns when all of its goroutines are gone.
package gateway
