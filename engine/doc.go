// Package engine takes work, finds a pod with a free slot, records the outcome, and keeps the right number of pods.
//
// It has two halves. The dispatcher gives calls to pods: Do is the one waking path of Invoke, of direct calls and of queued work.
// The worker takes queued work, runs it through that same path and writes its end. Gateway and engine do not know each
// other; records are in package store, waiting work, output and dead letters in package stream, and pods behind pod.Driver.
//
// # Order of effects
//
// A submission (gateway) writes the record, PENDING, and the work, side by side, then syncs both, then answers. The worker goes on:
//
//  1. the queue gives out the job                    it comes again if nobody renews it for the queue's patience
//  2. the record is read, unless this process created it a moment ago, and taken by compare-and-set: RUNNING, attempt+1, this worker
//  3. a slot of a pod is taken, a pod started for it   nothing is stored
//  4. the pod is called; a streamed answer is published chunk by chunk
//  5. a large result is stored under the attempt's name, for a little longer than the record will be
//  6. the record is written by compare-and-set         COMPLETED, FAILED or TIMEOUT; watchers hear of it
//  7. FAILED and TIMEOUT leave a dead letter: the work, and the request's large body again, both for as long as the record
//  8. everything up to here is synced to disk          one sync for all who wait
//  9. the large body of a request that COMPLETED or was CANCELLED is deleted
//  10. the job is acknowledged, which deletes the work
//
// A crash between any two costs a repetition and never a result: until 6 the job comes again and a new attempt begins; after
// 6 it comes again and goes on from 7 without a call. The work goes last because it is the only other copy of the request. The moments
// between two effects have names (boundaries.go), and tests that end the process there.
//
// # Another attempt
//
// An attempt that failed is followed by another if decide (retry.go), a pure function, says so. Then, in place of 5 to 10:
//
//  1. the record is written by compare-and-set: PENDING, due at a time, with the failure's count and error, held by nobody
//  2. the work is stored for later, until that time
//  3. both are synced
//  4. the job is acknowledged; when its time has come the work is moved back into the queue by the mover of some process
//
// So what waits holds no slot and no memory, and outlives every process. A pause under a second is spent in the queue: after 1 the job is given
// back with a delay. A crash after 1 or 2 brings the job before its time; then the record says so, and the rest is done again. A crash after 2
// may leave the work in both places; the one that comes last finds the end of the execution, or its next due time, in the record.
//
// Counted apart are failures of the app (its answers that the policy names, a broken connection, a clock that ran out), failures of the platform
// (no pod came up, none could be reached, a worker was lost) and "not now" (429 or 503 with Retry-After), which is no failure. An
// attempt is every time a worker takes the record, and a hand-back counts nowhere.
//
// # Cancelling
//
// A gateway writes CANCELLED by compare-and-set into whatever record has not ended, and syncs. Work that waits it deletes; the worker
// that holds a running one it tells by a message, and the worker cuts the call: the pod's request is cancelled and the slot is free. The
// attempt then meets the record like any that lost it, and goes on from 8. A worker looks at the records of its jobs whenever it
// renews them, too: so it notices a cancellation whose message was lost, and that it was replaced while it stood still.
//
// # The record
//
//	             take                 write the outcome
//	PENDING ───────────────► RUNNING ───────────────────► COMPLETED | FAILED | TIMEOUT
//	  │ ▲                    │ │  ▲
//	  │ ├──── hand back ─────┤ └──┘ take over (attempt+1, a failure of the platform), when the worker that holds it is dead
//	  │ └──── try again ─────┤      or has lost it
//	  │       (due time)     │
//	  └──────────────────────┴───── cancel ───────────────► CANCELLED
//
// Work is handed back, and has not failed, when the server stops, when the engine needed the pod's place, when too many calls wait for the
// app, or when NATS does not answer. A record whose work is nowhere is ended FAILED by the reaper (reap.go).
//
// # The pool
//
// An app that is used has a pool:
//
//	call ──► slot free? ──yes──► pod      pod:  starting ──► in service ◄──► draining ──► stopped
//	            │ no              ▲                 │          ▲      │ exits    │           ▲
//	            ▼                 │                 ▼          │      └──────────┼───────────┤
//	          line, first in, first out          failed        └──── frozen ◄────┘ idle      │
//	                                                                    └────────────────────┘ no room
//
// A call gets the pod with the fewest calls, never more than max_concurrency at a time, or waits. What waits is bounded by count and by what is in memory of
// it (places.go), for the app and for the process; over that it is pod.ErrBusy. Starts are shared by all who wait. A start that failed is told to all who wait,
// unless other pods serve or come, and for a while (1 s, doubling to 30 s) to all who come. When very many apps wake at once their starts take turns (turns.go).
//
// A pod that drains gets no more calls, those in it may take the app's timeout. If it is wanted again meanwhile it comes back at once. When it is empty
// it is frozen where its driver can do that, and there is room (warm.go), or stopped.
//
// A published version comes up beside the old one, as many pods of it as are wanted, and for each that is ready one of the old drains; for that time there may be
// twice as many as the app may have. A version that does not come up is tried again and again, less and less often, and the old one serves (standin.go), also with more pods than before,
// and with new ones if its own are gone. An app that was
// deleted and made again under its name has another pool. A pool whose app is not used is forgotten: an app that is idle costs nothing here.
//
// # How many pods
//
// The keeper of a pool decides with desired (scale.go), a pure function of what was sampled and of the time, at every event that may change something and, while there
// are calls, once a second. The app's scaling counts as it is now, not as it was when the version was published. In short:
//
//   - total calls a second in the last minute, or calls in flight and in line, by what one pod is meant to take; jobs in the queue count like calls that wait;
//   - at least as many as give every call a slot, and at least one if there is any call;
//   - not fewer than reserved, nor more than the app or the platform allows;
//   - fewer only when no more were wanted for the whole scale-down period.
//
// What was put on the disk for an app leaves it when the app was idle for long (teardown.go); the next call brings it back.
//
// # Who goes first
//
// Few jobs at a time write their records or are acknowledged (gate), fewer while calls are submitted to this process: who submits waits for an answer,
// and who submitted does not. Organizations take turns, and in each of them its apps, so that one whose calls end all at once does not keep
// another's. What runs in pods is never bounded by it.
//
// Calls of a backlog start one after the other over most of the time that they usually take (pace): those that start together end together, and
// each end costs the processor something. As many are finished.
//
// What a process has so much of is shared out by budgets, first among organizations and then among the apps of each: places for the jobs in
// hand, and memory for their bodies. What is free is for whoever asks; what comes free while others wait goes to the organization that has
// least, and in it to the app that has least. An app that has none gets a place at once, whatever the others have, so that nobody waits for the calls
// of others; for memory it waits. A body for which there is too little memory waits until it is alone in it, but is never refused.
//
// An app's limit of asynchronous calls in flight is its consumer's bound of messages in hand, which JetStream keeps for all workers. A worker that
// sees the setting change tells the consumer. A call counts from its taking until its acknowledgement. What waits for another
// attempt would count as long as it is in the queue, so for such an app it is always stored for later, and may be a quarter of a second late.
// (What is handed back for want of a pod or of NATS, and work that is there before its record, counts for its pause of a second or a few.)
//
// What waits in an app's queue is demand for its pods (forecast): a taker learns it with every job, and asks every two seconds while it cannot take.
//
// # What may happen twice
//
// A pod may see a call again, with a higher X-Ignite-Attempt: after a failure that is repeated, or after its worker died, was cut off, stood still for longer
// than the queue's patience, or was stopped before the call ended. Two pods may have the call at once, the first until its worker notices. A job may be
// delivered twice; while it is in hand the second delivery is ignored, and afterwards it finds a terminal record, or one whose time has not come.
// A chunk may be stored twice; watchers see it once. A dead letter that was taken away may be kept again if its worker died before 10. A pod never gets a call again that may
// have reached it within one attempt: only pod.ErrUnreachable, of which not a byte was sent, is tried with another pod.
//
// # What is durable when
//
// Nothing waits for a disk before 8. What a watcher sees (RUNNING, chunks, the end) may be ahead of the disk by one group commit; the loss of
// power in that moment makes it happen again. What is deleted (9, 10) is never ahead of what replaces it.
//
// Record, output, large result and dead letter have their time to live from the moment they are stored, so they leave together. A large request's
// body has none while its execution may run: it is deleted, or stored again with one.
//
// # Who owns which goroutine
//
//	Run ─┬─ dispatcher.run ─── keep, one for each pool ─── live, one for each pod from its start until it is gone
//	     ├─ tearDown                                        takes what is idle from the disk
//	     └─ worker.run ─┬─ renew                            renews all jobs in hand, then reviews their records
//	                    ├─ listen, sweep                    find apps with work
//	                    ├─ moveDue                          moves work whose time has come into the queue
//	                    ├─ reap                             finds what a crash left without its counterpart
//	                    └─ taker.run, one for each app ─── handle, one for each job
//
// Each waits for those to its right. Do and Try run on their callers' goroutines, and Run waits for the pods of Try; questions and cancellations of other processes are answered on the
// stream's. Stopping, Run refuses who waits (pod.ErrBusy), lets calls end within the drain time, cuts the rest with a cause that is
// no failure, waits until they are handed back, and stops the pods last.
//
// # Invariants
//
// Each has tests named after it.
//
//   - No fake accept: work is deleted only after its outcome, or its place among what comes later, is on disk.
//   - Settled once: a terminal record is never written again.
//   - Only the holder decides how an attempt ended; a cancellation is the one end that others write, by the same compare-and-set (and the
//     reaper ends what nobody holds). An end is written at the revision that the attempt's own take produced, and what an attempt stores
//     beside the record (chunks, a large result) is under the attempt's number.
//   - Nothing without an end: every wait has a limit, every failure is either an end in the record or work that comes again, and what is
//     stored has a time to live or somebody who deletes it.
//   - Honest cause: the record says what ended it, after how many attempts and why there was no other, which clock ran out, or which log lines
//     the pod left; a stop of ours is no failure.
package engine
