package stream_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Every goroutine has an owner who waits for it: none is left after the tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
