package engine

import "time"

// load is what the decision about an app's number of pods looks at.
type load struct {
	// running counts the pods in service and those that are starting.
	running int
	// waiting and inFlight count the calls that want a pod and those that are in one.
	waiting, inFlight int
	// reserved is the app's reserved_capacity.
	reserved int
	// used is when a call last came or ended.
	used time.Time
	// idleAfter is the app's scale-down period.
	idleAfter time.Duration
}

// desired says how many pods an app should have: one while calls come, wait or run, one while something is reserved, and
// one that is there already until it has been idle for the scale-down period. A pod that died idle is not replaced.
func desired(now time.Time, l load) int {
	switch {
	case l.waiting > 0, l.inFlight > 0, l.reserved > 0:
		return 1
	case l.running > 0 && now.Before(l.used.Add(l.idleAfter)):
		return 1
	default:
		return 0
	}
}
