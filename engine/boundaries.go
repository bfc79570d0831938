package engine

// Boundary is the moment between two effects of the order in the package comment. A process that ends there leaves the first behind
// and not the second.
type Boundary string

// The boundaries, in the order in which an execution passes them.
const (
	// JobTaken: the queue gave out the job, the record is not taken.
	JobTaken Boundary = "job-taken"
	// RecordTaken: the record is RUNNING, no pod was asked for.
	RecordTaken Boundary = "record-taken"
	// PodChosen: a slot is held, the pod was sent nothing.
	PodChosen Boundary = "pod-chosen"
	// AnswerBegun: the pod's head was read, none of its body is stored.
	AnswerBegun Boundary = "answer-begun"
	// ChunkStored: a piece of output is stored, the next is not.
	ChunkStored Boundary = "chunk-stored"
	// AnswerRead: the answer is read to its end, nothing of the outcome is stored.
	AnswerRead Boundary = "answer-read"
	// ResultStored: a large result is stored, its record is not.
	ResultStored Boundary = "result-stored"
	// RecordSettled: the record is terminal, the dead letter is not stored, nothing is synced.
	RecordSettled Boundary = "record-settled"
	// DeadLetterKept: the dead letter is stored, the work is still there.
	DeadLetterKept Boundary = "dead-letter-kept"
	// OutcomeSynced: all of it is on disk, the request's large body and the work are still there.
	OutcomeSynced Boundary = "outcome-synced"
	// RequestDropped: the request's large body is gone, the work is still there.
	RequestDropped Boundary = "request-dropped"
	// JobAcknowledged: the work is gone.
	JobAcknowledged Boundary = "job-acknowledged"

	// RecordPostponed: a failed attempt is noted in the record, its work is not stored for later.
	RecordPostponed Boundary = "record-postponed"
	// WorkPostponed: the work is stored for later, too; the job is not acknowledged.
	WorkPostponed Boundary = "work-postponed"
)

// Boundaries answers all of them.
func Boundaries() []Boundary {
	return []Boundary{
		JobTaken, RecordTaken, PodChosen, AnswerBegun, ChunkStored, AnswerRead, ResultStored, RecordSettled, DeadLetterKept, OutcomeSynced,
		RequestDropped, JobAcknowledged, RecordPostponed, WorkPostponed,
	}
}
