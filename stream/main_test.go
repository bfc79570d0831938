package stream_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Every goroutine has an owner who waits for it: none is left after the tests. A nats-server of a cluster may leave the ticker behind by
// which it knows the time.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}
