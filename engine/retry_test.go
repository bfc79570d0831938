package engine

import (
	"testing"
	"time"

	"dodil.io/ignite/store"
)

// middle is the random number that leaves a pause as it is.
const middle = 0.5

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	none, half := 0.0, 0.5
	patient := store.RetryPolicy{
		MaxAttempts: 4, InitialBackoff: 2 * time.Second, MaxBackoff: 10 * time.Second, Multiplier: 3, Jitter: &none, MaxAge: time.Hour,
	}
	jittery := patient
	jittery.Jitter = &half
	record := func(policy store.RetryPolicy, change func(*store.Execution)) store.Execution {
		e := store.Execution{CreatedAt: now, Attempt: 1, Retry: policy}
		if change != nil {
			change(&e)
		}
		return e
	}
	failed := func(app, platform uint32) func(*store.Execution) {
		return func(e *store.Execution) { e.AppFailures, e.PlatformFailures, e.Attempt = app, platform, app+platform+1 }
	}
	old := func(age time.Duration) func(*store.Execution) {
		return func(e *store.Execution) { e.CreatedAt = now.Add(-age) }
	}
	for _, c := range []struct {
		name   string
		record store.Execution
		failure
		random float64
		pause  time.Duration
		reason string
	}{
		{"by default the app has one attempt", record(store.RetryPolicy{}, nil), failure{account: ofApp}, middle, 0, ""},
		{"the initial backoff comes first", record(patient, nil), failure{account: ofApp}, middle, 2 * time.Second, ""},
		{"the multiplier makes it longer", record(patient, failed(1, 0)), failure{account: ofApp}, middle, 6 * time.Second, ""},
		{"the maximum backoff bounds it", record(patient, failed(2, 0)), failure{account: ofApp}, middle, 10 * time.Second, ""},
		{"max_attempts ends it", record(patient, failed(3, 0)), failure{account: ofApp}, middle, 0, "4 of 4 failures of the app"},
		{"jitter shortens", record(jittery, nil), failure{account: ofApp}, 0, time.Second, ""},
		{"jitter lengthens", record(jittery, nil), failure{account: ofApp}, 1, 3 * time.Second, ""},
		{"Retry-After is honoured", record(patient, nil), failure{account: ofApp, after: time.Minute}, middle, time.Minute, ""},
		{"a shorter Retry-After does not hasten", record(patient, nil), failure{account: ofApp, after: time.Second}, middle, 2 * time.Second, ""},
		{"max_age ends it", record(patient, old(time.Hour-time.Second)), failure{account: ofApp}, middle, 0, "its max_age of 1h0m0s leaves no time for another"},
		{"max_age leaves time", record(patient, old(time.Hour-2*time.Second)), failure{account: ofApp}, middle, 2 * time.Second, ""},
		{"max_age counts from not_before", record(patient, func(e *store.Execution) {
			e.CreatedAt, e.NotBefore = now.Add(-2*time.Hour), now.Add(-time.Minute)
		}), failure{account: ofApp}, middle, 2 * time.Second, ""},
		{"without max_age it is a day", record(store.RetryPolicy{MaxAttempts: 2}, old(25*time.Hour)), failure{account: ofApp}, middle, 0,
			"its max_age of 24h0m0s leaves no time for another"},

		{"the platform's failures count apart", record(store.RetryPolicy{}, failed(0, 0)), failure{account: ofPlatform}, middle, time.Second, ""},
		{"and have a backoff of their own", record(patient, failed(0, 2)), failure{account: ofPlatform}, middle, 4 * time.Second, ""},
		{"with jitter of its own", record(patient, nil), failure{account: ofPlatform}, 0, 800 * time.Millisecond, ""},
		{"and a limit of their own", record(patient, failed(0, 4)), failure{account: ofPlatform}, middle, 0, "5 of 5 failures of the platform"},
		{"they take none of the app's attempts", record(patient, failed(1, 4)), failure{account: ofApp}, middle, 6 * time.Second, ""},
		{"nor the app's any of theirs", record(patient, failed(3, 0)), failure{account: ofPlatform}, middle, time.Second, ""},

		{"not now takes no attempt", record(store.RetryPolicy{}, nil), failure{account: notNow, after: time.Minute}, 0, time.Minute, ""},
		{"however often", record(store.RetryPolicy{}, func(e *store.Execution) { e.Postponements, e.Attempt = 1000, 1001 }),
			failure{account: notNow, after: time.Minute}, 0, time.Minute, ""},
		{"not now is never earlier than asked for", record(jittery, nil), failure{account: notNow, after: time.Minute}, 1, 90 * time.Second, ""},
		{"not now of no time is a second", record(patient, nil), failure{account: notNow}, 0, time.Second, ""},
		{"not now ends with max_age", record(patient, nil), failure{account: notNow, after: 2 * time.Hour}, 0, 0, "its max_age of 1h0m0s leaves no time for another"},
		{"not now for ever ends at once", record(patient, nil), failure{account: notNow, after: longestPause}, 1, 0, "its max_age of 1h0m0s leaves no time for another"},

		{"another failure is final", record(patient, nil), failure{account: nobodys}, middle, 0, ""},
		{"and says so after others", record(patient, failed(1, 0)), failure{account: nobodys}, middle, 0, "a failure of this kind is not retried"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := decide(c.record, c.failure, 5, now, c.random)
			want := decision{reason: c.reason}
			if c.pause > 0 {
				want.due = now.Add(c.pause)
			}
			if d != want {
				t.Errorf("decided %+v, want %+v", d, want)
			}
		})
	}
}

func TestChargeCountsApart(t *testing.T) {
	t.Parallel()
	var record store.Execution
	for account, times := range map[account]int{ofApp: 1, ofPlatform: 2, notNow: 3, nobodys: 4} {
		for range times {
			account.charge(&record)
		}
	}
	if record.AppFailures != 1 || record.PlatformFailures != 2 || record.Postponements != 3 {
		t.Errorf("record %+v", record)
	}
}

func TestOutlivedOnlyByAMaxAgeThatWasChosen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		record store.Execution
		want   bool
	}{
		"default":         {store.Execution{CreatedAt: now.Add(-48 * time.Hour)}, false},
		"young":           {store.Execution{CreatedAt: now.Add(-time.Second), Retry: store.RetryPolicy{MaxAge: time.Minute}}, false},
		"old":             {store.Execution{CreatedAt: now.Add(-time.Hour), Retry: store.RetryPolicy{MaxAge: time.Minute}}, true},
		"old but delayed": {store.Execution{CreatedAt: now.Add(-time.Hour), NotBefore: now, Retry: store.RetryPolicy{MaxAge: time.Minute}}, false},
	} {
		if got := outlived(c.record, now); got != c.want {
			t.Errorf("%s: outlived %v, want %v", name, got, c.want)
		}
	}
}

func FuzzGrowthStaysInItsRange(f *testing.F) {
	f.Add(int64(time.Second), int64(time.Minute), 2.0, 0.2, uint32(1), 0.5)
	f.Add(int64(1), int64(1<<62), 1e300, 1.0, uint32(1<<31), 0.999)
	f.Fuzz(func(t *testing.T, initial, most int64, multiplier, jitter float64, failures uint32, random float64) {
		if initial <= 0 || most < initial || !(multiplier >= 1) || !(jitter >= 0 && jitter <= 1) || !(random >= 0 && random < 1) || failures == 0 {
			t.Skip("no policy is like that")
		}
		g := growth{time.Duration(initial), time.Duration(most), multiplier, jitter}
		if got := g.after(failures, random); got < 0 || got > longestPause || float64(got) > 2*float64(most)+1 {
			t.Errorf("%+v after %d failures pauses %v", g, failures, got)
		}
		least := time.Duration(min(initial, int64(longestPause)))
		if got := g.notBefore(least, random); float64(got) < 0.999*float64(least) || got > longestPause {
			t.Errorf("%+v pauses %v, want at least %v", g, got, least)
		}
	})
}
