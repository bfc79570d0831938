package fault

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// Kind is a sort of call, and what must become of it.
type Kind struct {
	Name string
	Size int
	// Query is what the pod is asked for.
	Query string
	// Ends are the terminal states that are right.
	Ends []ignitev1.ExecutionStatus
	// Keyed submissions carry an idempotency key, and are repeated until they are acknowledged.
	Keyed bool
	// Alter sets the rest of the request.
	Alter func(*ignitev1.InvokeRequest)
	// Then is what follows once the call is acknowledged.
	Then Then
}

// Then is what a caller does after the submission.
type Then int

// What a caller does after the submission.
const (
	Nothing Then = iota
	// Cancel ends it.
	Cancel
	// Redrive runs it again after it failed.
	Redrive
	// Watch follows its output.
	Watch
)

const (
	completed = ignitev1.ExecutionStatus_EXECUTION_STATUS_COMPLETED
	failed    = ignitev1.ExecutionStatus_EXECUTION_STATUS_FAILED
	cancelled = ignitev1.ExecutionStatus_EXECUTION_STATUS_CANCELLED
)

var (
	completes = []ignitev1.ExecutionStatus{completed}
	fails     = []ignitev1.ExecutionStatus{failed}
)

// Large is more than what travels in a message.
const Large = 600 << 10

// Small, Keyed and so on are the kinds; together they pass every boundary.
var (
	Small     = Kind{Name: "small", Size: 200, Ends: completes}
	Keyed     = Kind{Name: "keyed", Size: 200, Ends: completes, Keyed: true}
	Big       = Kind{Name: "big", Size: Large, Ends: completes}
	BigFails  = Kind{Name: "big-fails", Size: Large, Query: "status=500&times=1000", Ends: fails}
	Streamed  = Kind{Name: "streamed", Size: 4000, Query: "chunks=8&every=5ms", Ends: completes}
	Watched   = Kind{Name: "watched", Size: 4000, Query: "chunks=8&every=50ms&mark=1", Ends: completes, Then: Watch}
	Slow      = Kind{Name: "slow", Size: 200, Query: "wait=300ms", Ends: completes}
	Fails     = Kind{Name: "fails", Size: 200, Query: "status=500&times=1000", Ends: fails}
	Flaky     = Kind{Name: "flaky", Size: 200, Query: "status=500&times=1", Ends: completes, Alter: retried}
	Busy      = Kind{Name: "busy", Size: 200, Query: "status=503&times=1&retry_after=1", Ends: completes}
	Delayed   = Kind{Name: "delayed", Size: 200, Ends: completes, Alter: delayed}
	Cancelled = Kind{Name: "cancelled", Size: 200, Query: "wait=500ms", Ends: []ignitev1.ExecutionStatus{cancelled, completed}, Then: Cancel}
	// Held ones end when their worker is gone; Long ones show which attempt each chunk is of.
	Held     = Kind{Name: "held", Size: 200, Query: "first=100s", Ends: completes}
	Long     = Kind{Name: "long", Size: 4000, Query: "chunks=60&every=100ms&mark=1", Ends: completes, Then: Watch}
	Redriven = Kind{Name: "redriven", Size: 200, Query: "status=500&times=1000", Ends: fails, Then: Redrive}
)

// Mix is all of them, the small ones more often: the others fill the disk.
func Mix() []Kind {
	often := []Kind{Small, Keyed, Streamed, Slow, Fails, Flaky, Busy, Delayed, Cancelled, Redriven, Watched}
	return slices.Concat(often, []Kind{Big}, often, often, []Kind{BigFails}, often)
}

func retried(r *ignitev1.InvokeRequest) {
	r.Retry = &ignitev1.RetryPolicy{MaxAttempts: 3, InitialBackoffMs: 1500}
}

func delayed(r *ignitev1.InvokeRequest) { r.Delay = durationpb.New(1500 * 1e6) }

// Request is the call of this kind that tag names.
func (k Kind) Request(app, tag string) *ignitev1.InvokeRequest {
	r := &ignitev1.InvokeRequest{
		OrganizationName: organization, AppName: app,
		Http: &ignitev1.HttpContext{
			Method: ignitev1.HttpMethod_HTTP_METHOD_POST, Path: "/run", Query: k.Query, Headers: map[string]string{"X-Tag": tag},
		},
		Body: Body(tag, k.Size),
	}
	if k.Keyed {
		r.IdempotencyKey = tag
	}
	if k.Alter != nil {
		k.Alter(r)
	}
	return r
}

// Body is what is sent under tag: bytes that no other call has.
func Body(tag string, size int) []byte {
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(tag))
	random := rand.New(rand.NewPCG(seed.Sum64(), uint64(size)))
	body := append(make([]byte, 0, size+len(tag)), tag...)
	for len(body) < size {
		body = append(body, byte(random.Uint32()))
	}
	return body
}

// Turn is what the pod makes of a body.
func Turn(body []byte) []byte {
	turned := bytes.Clone(body)
	for i := range turned {
		turned[i] ^= 0x5a
	}
	return turned
}

// Result is the right result of the call that tag names, answered by the given attempt.
func (k Kind) Result(tag string, attempt uint32) []byte {
	turned := Turn(Body(tag, k.Size))
	var chunks int
	if n, _ := fmt.Sscanf(k.Query, "chunks=%d", &chunks); n == 0 || !strings.Contains(k.Query, "mark=1") {
		return turned
	}
	var marked []byte
	size := len(turned) / chunks
	for i := range chunks {
		piece := turned[i*size:]
		if i < chunks-1 {
			piece = piece[:size]
		}
		marked = append(fmt.Appendf(marked, "attempt %d ", attempt), piece...)
	}
	return marked
}
