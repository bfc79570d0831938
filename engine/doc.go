// Package engine takes work, finds a pod with a free slot, records the outcome, and keeps the right number of pods.
//
// It has two halves. The dispatcher gives calls to pods: Do is the one waking path of Invoke, of direct calls and of queued work.
// The worker takes queued work, runs it through that same path and writes its end. Gateway and engine do not know each
// other; records are in package store, waiting work and output in package stream, and pods behind pod.Driver.
//
// # Order of effects
//
// A submission (gateway) writes the record, PENDING, and the work, side by side, then syncs both, then answers. The worker goes on:
//
//  1. the queue gives out the job                    it comes again if nobody renews it for the queue's patience
//  2. the record is read, unless this process created it a moment ago, and taken by compare-and-set: RUNNING, attempt+1, this worker
//  3. a slot of a pod is taken, a pod started for it   nothing is stored
//  4. the pod is called; a streamed answer is published chunk by chunk
//  5. a large result is stored under the attempt's name
//  6. the record is written by compare-and-set         COMPLETED, FAILED or TIMEOUT; watchers hear of it
//  7. everything up to here is synced to disk          one sync for all who wait
//  8. the job is acknowledged, which deletes the work; before it, the large body of a request that COMPLETED
//
// A crash between any two costs a repetition and never a result: until 6 the job comes again and a new attempt begins; after
// 6 it comes again and is acknowledged without a call. The work goes last because it is the only other copy of the request.
//
// # The record
//
//	             take                 write the outcome
//	PENDING ───────────────► RUNNING ───────────────────► COMPLETED | FAILED | TIMEOUT
//	   ▲                     │  │  ▲
//	   └──── hand back ──────┘  └──┘ take over (attempt+1), when the worker that holds it is dead or has lost it
//
// Work is handed back, and has not failed, when the server stops, when the engine needed the pod's place, when too many calls wait for the
// app, or when NATS does not answer. The app's own failures are not repeated. Work whose workers die is given out five times and then FAILED.
//
// # The pool
//
// An app that is used has a pool:
//
//	call ──► slot free? ──yes──► pod          pod:  starting ──► in service ──► draining ──► stopped
//	            │ no              ▲                    │              │ exits         ▲
//	            ▼                 │                    ▼              └───────────────┘
//	          line, first in, first out              failed: all who wait get the reason, and for a while (1 s, doubling
//	                                                 to 30 s) all who come; an older version in service goes on instead
//
// One start serves all who wait. A published version comes up first, then gets the calls, then the pods of the old one drain:
// no new calls, those in them may take the app's timeout. How many pods there are is decided by desired (scale.go), a pure
// function; between 0 and 1 now. An app that was deleted and made again under its name has another pool.
//
// # Who goes first
//
// While calls are submitted to this process, few jobs at a time are begun or settled (gate): who submits waits for an answer, and who
// submitted does not. While nobody submits there is no such bound, and what runs in pods is never bounded by it.
//
// # What may happen twice
//
// A pod may see a call again, with a higher X-Ignite-Attempt, after its worker died, was cut off, or was stopped before the call ended. A job may be
// delivered twice; while it is in hand the second delivery is ignored, and afterwards it finds a terminal record. A chunk may be
// stored twice; watchers see it once. A pod never gets a call again that may have reached it within one attempt: only
// pod.ErrUnreachable, of which not a byte was sent, is tried with another pod.
//
// # What is durable when
//
// Nothing waits for a disk before 7. What a watcher sees (RUNNING, chunks, the end) may be ahead of the disk by one group commit; the loss of
// power in that moment makes it happen again. What is deleted (8) is never ahead of what replaces it (6).
//
// # Who owns which goroutine
//
//	Run ─┬─ dispatcher.run ─── keep, one for each pool ─── live, one for each pod from its start until it is gone
//	     └─ worker.run ─┬─ renew                            for all jobs in hand
//	                    ├─ listen, sweep                    find apps with work
//	                    └─ taker.run, one for each app ─── handle, one for each job
//
// Each waits for those to its right. Do runs on its caller's goroutine. Stopping, Run refuses who waits (pod.ErrBusy), lets calls
// end within the drain time, cuts the rest with a cause that is no failure, waits until they are handed back, and stops the pods last.
//
// # Invariants
//
//   - No fake accept: work is deleted only after its outcome is on disk.
//   - Settled once: a terminal record is never written again.
//   - Only the holder decides: an end is written at the revision that the attempt's own take produced, and what an attempt
//     stores beside the record (chunks, a large result) is under the attempt's number.
//   - Nothing without an end: every wait has a limit, every failure is either an end in the record or work that comes again.
//   - Honest cause: the record says what ended it, which clock ran out, or which log lines the pod left; a stop of ours is no failure.
package engine
