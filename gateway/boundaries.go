package gateway

// Boundary is the moment between two effects of a submission, a cancellation or a redrive. A process that ends there leaves the first
// behind and not the second.
type Boundary string

// The boundaries.
const (
	// KeyClaimed: the idempotency key is claimed, nothing else is stored.
	KeyClaimed Boundary = "key-claimed"
	// BodyStored: the large body is stored, neither record nor work is.
	BodyStored Boundary = "body-stored"
	// RecordCreated: the record is stored, the work may be.
	RecordCreated Boundary = "record-created"
	// WorkQueued: the work is stored, the record may be.
	WorkQueued Boundary = "work-queued"
	// Accepted: both are stored, nothing is synced, nobody was told.
	Accepted Boundary = "accepted"
	// SubmissionSynced: both are on disk, nobody was told.
	SubmissionSynced Boundary = "submission-synced"

	// RecordCancelled: the record is CANCELLED, its work is still there and its call may run.
	RecordCancelled Boundary = "record-cancelled"
	// Redriven: the new execution is accepted, the dead letter is still there.
	Redriven Boundary = "redriven"
)

// Boundaries answers all of them.
func Boundaries() []Boundary {
	return []Boundary{KeyClaimed, BodyStored, RecordCreated, WorkQueued, Accepted, SubmissionSynced, RecordCancelled, Redriven}
}
