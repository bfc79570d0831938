// Package store keeps what is true now: apps and their drafts, published versions, host names, executions, code archives
// and large payloads. It is the one writer of these facts, and NATS JetStream the place where they lie.
//
//	bucket               key                                         value
//	ignite_apps          <org>.<app>                                 App, JSON; followed in memory
//	ignite_versions      <org>.<app>.<incarnation>.<number>          Version, JSON; never changes
//	ignite_hosts         <host label>                                owner and port, JSON; followed in memory
//	ignite_executions    <org>.<execution>.<app's org>=<app>         Execution, JSON, newline, result
//	ignite_code          <sha-256 in hex>                            archive (object store)
//	ignite_payloads      request.<execution>, result.<execution>     body (object store)
//
// A '.' in a name is '_' in a key. Every bucket has a cap in bytes and refuses what is beyond it (ErrFull); nothing is
// thrown out to make room.
//
// # Executions
//
// A record changes only by compare-and-set: UpdateExecution replaces the very record that its argument was read as, or
// answers ErrConflict. It refuses what may not follow:
//
//	            taken               ended
//	PENDING ────────────► RUNNING ────────────► COMPLETED, FAILED, TIMEOUT
//	   │    ◄────────────    │ ▲                      ▲
//	   │      handed back    └─┘ taken over           │
//	   └──────────────────────────────────────────────┘ FAILED or TIMEOUT only: it never ran
//
// Whoever takes a record, fresh or from a worker that is lost, takes it with a higher attempt, so an attempt belongs to
// one worker, and what a worker that was taken over still writes is refused. A terminal record is never written again
// and leaves by itself when its retention ends. Records that have not ended stay until they do, and it is their work in the queue that sees to
// it. One that lost its work, or never had it because its submission was cut off, stays PENDING until package gateway reads and ends it.
//
// Nine tenths of the executions bucket are for new records; the rest is kept for the results of those that are there.
//
// JetStream tells every stored record again on ignite.watch.<execution>.state, with the record as body. That is a core
// message: it may be lost, and it may come before the record is on disk. The bucket's own subject must not be
// listened to, because refused writes are heard there too.
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
// caller, who can write several things and then wait once. ErrUnavailable leaves open whether the write was made.
package store
