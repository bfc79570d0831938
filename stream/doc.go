// Package stream is where work waits once and events pass in order. It lives in JetStream, embedded or not.
//
// # Work
//
//	Enqueue ──┬─► IGNITE_WORK_<shard> ─► Queue of the app ─► Take ─► Job ─┬─► Ack:    deleted
//	MoveDue ──┤                              ▲                            ├─► Return: waits again, after a delay
//	   ▲      └─► Wakes (core, a hint) ──────┤                            └─► nothing, for AckWait: waits again
//	   │          Waiting (a sweep, complete)┘
//	IGNITE_LATER ◄── EnqueueLater
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
// A worker that stops closes its queues first: what was on its way to them is given back before Close returns, and so is at
// once with another worker. Whatever is given back wakes those who listen, as they may have no queue of the app open.
//
// An app may have a limit of jobs that all workers together hold (LimitedQueue). It is the consumer's, and the last worker that opened the queue or
// called Limit has set it. JetStream counts what was given back with a delay as held until it is delivered again.
//
// Every app that has work has a consumer of its own, shared by all workers, so apps do not hold each other up. On a work
// queue an acknowledgement asks every consumer of the stream, which is why work is spread over shards by a hash of
// the app, why consumers are gone soon after nobody asks them, and why they live in memory: they hold nothing that
// the stream and the records do not know. (In a cluster they are in files: memory that came back empty has no vote.)
//
// # Later
//
// Work for later is a JetStream schedule, so a wait holds neither a slot nor a process, and survives them all. When its time
// has come, JetStream stores it as due, in the same step in which it deletes the schedule; then one of the movers puts it into the queue:
//
//	                 ignite.later.<execution>.at                    ignite.later.<execution>.due.<org>.<app>
//	EnqueueLater ─► waits, replaced by a later EnqueueLater ──time──► due ──mover──► the queue takes it: deleted here
//	                      └── Remove ──┐                               │  ▲──────────the queue has the execution's
//	                                   ▼                               │  └ a second  earlier work still, or is full
//	                                 gone ◄────────── Remove ──────────┘
//
// Work is never early; it may be late by a quarter of a second, which is how often JetStream looks.
//
// The trap is in the refusal. The queue takes no second work of an execution, and for a caller of Enqueue that is as good as done.
// For due work it is not: a worker stores its next attempt for later before it acknowledges the one in hand, and that
// acknowledgement may come after the next one is due. If due work were dropped as a repetition, the acknowledgement would take the only
// message along, and the execution would wait for ever. So due work stays until the queue has really taken it. The work
// carries the place that it was moved from: a mover that dies between the two steps leaves work to another mover that
// recognises it. An extra message would be harmless all the same, as the record decides.
//
// A stream with schedules cannot refuse when it is full, it deletes the oldest. So EnqueueLater refuses before that: new executions first,
// those that wait for their next attempt a little later.
//
// # Dead letters
//
// The work of an execution that ended badly can be kept with its request, to be run again by hand:
//
//	KeepDeadLetter ─► IGNITE_DEADLETTER ─┬─► DeadLetter, DeadLetters ─► Enqueue under a new id
//	                  one an execution   ├─► DropDeadLetter
//	                                     ├─► expires, with its record
//	                                     └─► gives way, the oldest first, when there is no room
//
// # Output
//
// A chunk is stored under its execution and attempt and carries its index. It expires by itself, so that it leaves with its record,
// and a cap deletes the oldest. Once stored, JetStream republishes it on a core subject, where the hub of each process listens for what
// is watched there. The records' bucket does the same for records. A watcher subscribes first, then reads what is stored, then follows:
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
// A watcher may begin anywhere, on any process, while the execution runs or after it: it needs to know nothing but attempt and index.
// The place is found by a few direct gets, as indexes ascend in the stream; what comes before it is not read. It is a guess
// that nothing rests on: if something seems to be missing after it, reading begins again with the first chunk, and only what is
// missing then is lost.
//
// Output and record live in different streams, and nothing orders what two streams tell. A worker stores all output
// before the terminal record, so whoever has read that record finds all output in the stream: after each Record event the
// watcher reads the stream, and says Settled when it has given what was there.
//
// In a cluster any replica answers direct gets, and may be behind. So there the reading before Settled ends only when it
// has come to what the stream's leader calls the last chunk.
//
// Changes is for those who want the record alone: it hears of nothing else, and what happens while its reader is busy is one change.
//
// A watcher holds no consumer and no goroutine: a subscription shared with all who watch the same execution, a few hundred
// bytes, and while it reads one batch.
//
// # Durability
//
// Enqueue, EnqueueLater, KeepDeadLetter, PublishChunk and Ack return when JetStream has acknowledged, which a kill of the process
// survives. A loss of power needs more: before anybody is promised anything, a caller waits for the group commit of stream/embed.
//
// # Concurrency
//
// All methods of Stream may be called concurrently. Take of one Queue may not, and its jobs may be ended from any goroutine,
// also after the Queue is closed. MoveDue may run in any number of processes. Close waits for the goroutines of the Stream; Wakes, Watch,
// Changes and Answer end with it.
//
// No call outlasts its context. One whose context has much time gives up an answer of JetStream after some seconds, with ErrUnavailable: a
// request that went down with its connection, or that nobody leads, is never answered.
package stream
