// Package stream is where work waits once and events pass in order. It lives in JetStream, embedded or not.
//
// # Work
//
//	Enqueue ─► IGNITE_WORK_<shard> ─► Queue of the app ─► Take ─► Job ─┬─► Ack:    deleted
//	   │                                   ▲                           ├─► Return: waits again, after a delay
//	   └─► Wakes (core, a hint) ───────────┘                           └─► nothing, for AckWait: waits again
//	       Waiting (a sweep, complete)
//
// An execution's work is one message under the execution's id. It is stored when Enqueue returns, and stays until it
// is acknowledged; there is no limit of deliveries and no age, because the record says what became of it. While it
// is there a second Enqueue of the same id does nothing. After Ack it would be stored again: who takes it finds a
// record that has ended, and acknowledges it.
//
// Work is delivered at least once. It comes again when its worker says nothing for AckWait, when JetStream lost the
// consumer (a restart of the server), or when an acknowledgement was lost on its way. The first delivery's Job
// stays valid through all of these: its Ack deletes the work, whoever else holds it. So the record decides who may
// write an outcome, not the queue.
//
// Every app that has work has a consumer of its own, shared by all workers, so apps do not hold each other up. On a work
// queue an acknowledgement asks every consumer of the stream, which is why work is spread over shards by a hash of
// the app, why consumers are gone soon after nobody asks them, and why they live in memory: they hold nothing that
// the stream and the records do not know.
//
// # Output
//
// A chunk is stored under its execution and attempt and carries its index; retention and a cap delete the oldest. Once stored, JetStream
// republishes it on a core subject, where the hub of each process listens for what is watched there. The records' bucket does
// the same for records. A watcher subscribes first, then reads what is stored, then follows:
//
//	PublishChunk ─► IGNITE_OUTPUT ──republished──► hub ──exactly the next chunk──► watcher ─► reader
//	                     ▲                          └──anything else: "stale"────────┘ │
//	                     └──────────────── batched direct get ◄────────────────────────┘
//
// Only the exactly next chunk is handed over in memory, within a small bound; after a gap, an overflow, a lost
// connection, or a while without news, the watcher reads the stream from where it is. What it was told is only ever a reason to
// read sooner, so nothing that core NATS loses is lost. A watcher's order is by attempt and index: once a chunk of a newer
// attempt was seen, those of older ones are dropped. A hole in the stream itself is ErrLost, never skipped.
//
// Output and record live in different streams, and nothing orders what two streams tell. A worker stores all output
// before the terminal record, so whoever has read that record finds all output in the stream: after each Record event the
// watcher reads the stream, and says Settled when it has given what was there.
//
// A watcher holds no consumer and no goroutine: a subscription shared with all who watch the same execution, a few hundred
// bytes, and while it reads one batch.
//
// # Durability
//
// Enqueue, PublishChunk and Ack return when JetStream has acknowledged, which a kill of the process survives. A loss of power needs
// more: before anybody is promised anything, a caller waits for the group commit of stream/embed.
//
// # Concurrency
//
// All methods of Stream may be called concurrently. Take of one Queue may not, and its jobs may be ended from any goroutine,
// also after the Queue is closed. Close waits for the goroutines of the Stream; Wakes, Watch and Answer end with it.
package stream
