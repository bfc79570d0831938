package engine

import "time"

const (
	// leastHold and mostHold bound how long nothing is started after a failure.
	leastHold = time.Second
	mostHold  = 30 * time.Second
	// steady is how long a pod must have lived for the next failure to count as the first again.
	steady = 10 * time.Second
)

// fault is what an app's last start, or the early end of its last pod, left behind. The zero value is no fault.
type fault struct {
	// err is the failed start that calls are answered with until the hold is over; nil if the pod had come up.
	err error
	// version is the one that failed: a hold does not outlive it.
	version uint32
	until   time.Time
	pauses  backoff
}

// startFailed holds further starts, and refuses calls meanwhile. Starts that were under way together and fail together are one failure.
func (f *fault) startFailed(now time.Time, version uint32, err error) {
	if f.refusal(now, version) == nil {
		f.hold(now, version)
	}
	f.err = err
}

// of reports whether the last start of version failed.
func (f *fault) of(version uint32) bool { return f.err != nil && f.version == version }

// ended holds starts that no call asks for, so that a pod with a reservation that always ends is not started in a circle.
func (f *fault) ended(now time.Time, version uint32) {
	f.hold(now, version)
	f.err = nil
}

func (f *fault) hold(now time.Time, version uint32) {
	if f.version != version {
		f.pauses.reset()
	}
	f.pauses.least, f.pauses.most = leastHold, mostHold
	f.version = version
	f.until = now.Add(f.pauses.next())
}

// lived notes how long a pod of version lived that is gone, however it ended.
func (f *fault) lived(version uint32, lived time.Duration) {
	if f.version == version && lived >= steady {
		f.pauses.reset()
	}
}

// started ends the hold. How often it failed is remembered until a pod has lived for a while.
func (f *fault) started() {
	f.err = nil
	f.until = time.Time{}
}

// refusal answers the error that calls for version get now, or nil.
func (f *fault) refusal(now time.Time, version uint32) error {
	if f.version == version && now.Before(f.until) {
		return f.err
	}
	return nil
}

// held reports whether a pod of version must not be started now, with or without calls that wait.
func (f *fault) held(now time.Time, version uint32, waiting bool) bool {
	if f.version != version || !now.Before(f.until) {
		return false
	}
	return f.err != nil || !waiting
}
