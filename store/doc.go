// Package store keeps what is true now: apps and their drafts, published versions, host names, executions, code archives
// and large payloads. It is the one writer of these facts, and NATS JetStream the place where they lie.
//
//	bucket                key                                          value
//	ignite_apps           <org>.<app>                                  App, JSON; followed in memory
//	ignite_versions       <org>.<app>.<incarnation>.<number>           Version, JSON; never changes
//	ignite_hosts          <host label>                                 owner and port, JSON; followed in memory
//	ignite_executions     <org>.<execution>.<app's org>=<app>          Execution, JSON, newline, result; status in a header
//	ignite_idempotency    <org>.<app's org>=<app>.<SHA-256 of key>     Claim, JSON
//	ignite_code           <SHA-256 in hex>                             archive (object store)
//	IGNITE_PAYLOADS       ignite.payload.<name>.<index>                chunk of a body: request.<execution>, result.<execution>.<attempt>
//	IGNITE_BUILDLOGS      ignite.buildlog.<id of a build>              some lines that a compiler printed, JSON
//
// The last two are streams and have subjects. A '.' in a name is '_' in a key, and '=' in the name of a payload.
//
// # How much, and how long
//
// Every bucket has a cap in bytes and refuses what is beyond it (ErrFull); nothing is thrown out to make room, but for logs of builds. Executions, payloads
// and code have Options.MaxBytes each, and the small ones a fixed size or a part of it, so that all take less than four times MaxBytes.
// Nine tenths of executions and payloads are for what is new. The rest is kept for the ends and results of what was accepted.
//
// What belongs to an execution leaves with it, by TTLs that JetStream keeps, and waits for nobody:
//
//	record that has ended        ExpiresAt: Options.Retention after its end, or since its large result was stored
//	result, request kept         when KeepPayload was told: within seconds of the record that names it
//	record that has not ended    never: its work in the queue sees to it that it ends
//	request of such a record     when DeletePayload is called, at the record's end
//	log of a build               a week after it was written, or as soon as the room is needed for newer ones
//	idempotency key              a day after it was claimed, or Options.Retention if that is shorter: never after its record
//
// What a crash leaves behind has no TTL and is found by the reaper of package engine: Unfinished answers records among which those without work
// are, OrphanedPayloads requests without a record.
//
// # Executions
//
// A record changes only by compare-and-set: UpdateExecution replaces the very record that its argument was read as, or
// answers ErrConflict. It refuses what may not follow:
//
//	            taken               ended
//	PENDING ────────────► RUNNING ────────────► COMPLETED, FAILED, TIMEOUT, CANCELLED
//	   │    ◄────────────    │ ▲                      ▲
//	   │     handed back,    └─┘ taken over           │
//	   │   waits for a retry                          │
//	   └──────────────────────────────────────────────┘ not COMPLETED: it did not run to its end
//
// Whoever takes a record, fresh or from a worker that is lost, takes it with a higher attempt, so an attempt belongs to
// one worker, and what a worker that was taken over still writes is refused. All else keeps the attempt; so does a cancellation, which is
// the one end that others than the holder write: the holder's next write is an ErrConflict. A terminal record is never written again.
//
// JetStream tells every stored record again on ignite.watch.<execution>.state, with the record as body. That is a core
// message: it may be lost, and it may come before the record is on disk. The bucket's own subject must not be
// listened to, because refused writes are heard there too.
//
// # Lists
//
// JetStream finds a record by its id and cannot list by app, status or time. ListExecutions, Unfinished and OrphanedPayloads go by an index
// in memory: of each record its id, app, status and expiry, 28 bytes, sorted by id and so by submission. Every process reads its own
// from the headers of the bucket's messages, first all and then what is new; so there is no second place to write, which could
// disagree with the first. A list is made after reading up to the last write that JetStream had acknowledged when it was asked for.
// The records of a page are then read themselves: one that changed meanwhile is judged by what it is now.
//
// The index is begun at the first question, which takes some seconds for a million records, and keeps up by itself while it is used. It drops
// what has expired by the same TTL that JetStream goes by.
//
// # Payloads
//
// A body is stored in chunks of 512 KiB. Each says how many there are and the hash of the whole, and the body is there when all chunks
// of one hash are; what a crash cut off is ErrNotFound. Storing a body again, to keep it longer or because nobody knows whether the first
// time succeeded, replaces chunk by chunk what is the same: it can be read all the while, and by any number of writers at a time.
// Different bodies must have different names, which is why a result's has its attempt.
//
// # Idempotency keys
//
// ClaimKey is one write that expects nothing there, so of all who use a key at a time one gets it and all learn who. It comes before everything
// else of a submission; who finds its own request there, without a record, goes on under that claim's id. A submission that is refused releases
// its claim before it takes away what it stored, and who goes on under another's claim confirms it after the record: see idempotency.go.
//
// # Apps, versions, hosts
//
// Apps and hosts are held in memory whole and kept up to date by a watch, so reading them costs no round trip. A Store
// sees its own writes at once, and those of other Stores a moment later; an app that memory does not know is looked for
// in the bucket, so a new one is never "not found" anywhere. A watch that breaks, or whose connection was lost, is
// begun anew and reads everything again.
//
// An app has an incarnation, so that an app that is deleted and made again under its name shares nothing with the old
// one. A host label belongs to the first app that publishes under it, for as long as that incarnation exists. A
// claim whose owner is gone does not count: Host does not answer it, and another app may take it over.
//
// # Order of effects
//
// An execution: key claimed, large request stored, record created, synced; result stored, record ended, large request of a dead letter
// kept until the record expires or any other request deleted, synced. A crash in between leaves a key that leads to its execution, a result that nobody names and
// that leaves by itself, or a request for the reaper.
//
// PublishVersion: hosts claimed, version stored, synced, app switched by compare-and-set, synced. A crash in between leaves
// the old version active; the version that was stored is not seen, its number is not used again, and the next
// publication drops it. Of publications that run side by side each gets a number of its own, and the highest is active.
//
// DeleteApp: app, then versions and hosts. From the first step on nobody finds the rest. What a crash leaves is taken
// away when the deletion is repeated or an app of that name is created.
//
// # When is it on disk
//
// A call returns when JetStream has acknowledged: what it wrote survives the end of the process. It is on disk after
// Sync. Methods that say "on disk on return" wait for it themselves; those on the way of an execution leave it to their
// caller, who can write several things and then wait once. ErrUnavailable leaves open whether the write was made; it comes at the latest
// a few seconds after the connection was lost, however much time the caller has.
package store
