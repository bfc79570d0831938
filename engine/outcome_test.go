package engine

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/store"
)

func TestFailedWith(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err     error
		status  store.Status
		code    string
		account account
	}{
		{&pod.TimeoutError{Clock: pod.ClockColdStart}, store.Timeout, "TIMEOUT_COLD_START", nobodys},
		{fmt.Errorf("call pod: %w", &pod.TimeoutError{Clock: pod.ClockFirstByte}), store.Timeout, "TIMEOUT_FIRST_BYTE", ofApp},
		{&pod.TimeoutError{Clock: pod.ClockIdle}, store.Timeout, "TIMEOUT_IDLE", ofApp},
		{&pod.TimeoutError{Clock: pod.ClockTotal}, store.Timeout, "TIMEOUT_TOTAL", ofApp},
		{&pod.StartError{Pod: "p", Reason: "exit status 1"}, store.Failed, codeStartFailed, ofPlatform},
		{fmt.Errorf("call pod: %w: connection refused", pod.ErrUnreachable), store.Failed, codeUnreachable, ofPlatform},
		{fmt.Errorf("call pod: %w: connection reset", pod.ErrBroken), store.Failed, codeBroken, ofApp},
		{fmt.Errorf("call pod: %w: %w", pod.ErrBroken, &pod.ExitError{Err: pod.ErrOutOfMemory}), store.Failed, codeOutOfMemory, ofApp},
		{errResultTooLarge, store.Failed, codeResultTooLarge, nobodys},
		{fmt.Errorf("%w: %w", pod.ErrAppGone, store.ErrNotFound), store.Failed, codeAppDeleted, nobodys},
		{pod.ErrNotPublished, store.Failed, codeNotPublished, nobodys},
		{errors.New("whatever else"), store.Failed, codeInternal, nobodys},
	} {
		o := outcome{}.failedWith(c.err)
		if o.status != c.status || o.fault.Code != c.code || o.account != c.account || !strings.Contains(o.fault.Message, c.err.Error()) {
			t.Errorf("%v is %s, %+v on account %d; want %s, %s, %d", c.err, o.status, o.fault, o.account, c.status, c.code, c.account)
		}
		if f := o.failure(store.RetryPolicy{}, time.Now()); f != (failure{account: c.account}) {
			t.Errorf("%v counts as %+v", c.err, f)
		}
	}
}

func TestAnswersCountByTheirStatus(t *testing.T) {
	t.Parallel()
	now := time.Now()
	teapots := store.RetryPolicy{Statuses: []uint32{http.StatusTeapot}}
	for _, c := range []struct {
		status     int
		retryAfter string
		policy     store.RetryPolicy
		want       failure
	}{
		{500, "", store.RetryPolicy{}, failure{account: ofApp}},
		{500, "7", store.RetryPolicy{}, failure{account: ofApp, after: 7 * time.Second}},
		{500, "", teapots, failure{}},
		{418, "", teapots, failure{account: ofApp}},
		{404, "7", store.RetryPolicy{}, failure{}},
		{429, "", store.RetryPolicy{}, failure{account: ofApp}},
		{429, "7", store.RetryPolicy{}, failure{account: notNow, after: 7 * time.Second}},
		{503, "7", teapots, failure{account: notNow, after: 7 * time.Second}},
		{503, "0", store.RetryPolicy{}, failure{account: notNow}},
		{503, "when it suits", store.RetryPolicy{}, failure{account: ofApp}},
		{503, "", teapots, failure{}},
	} {
		o := outcome{response: c.status, retryAfter: c.retryAfter}.answered()
		if got := o.failure(c.policy, now); got != c.want {
			t.Errorf("%d with Retry-After %q counts as %+v, want %+v", c.status, c.retryAfter, got, c.want)
		}
	}
}

func TestGivenUpSaysAfterHowManyAttemptsAndWhy(t *testing.T) {
	t.Parallel()
	o := outcome{response: 500}.answered()
	if got := o.givenUp(1, "").fault.Message; got != "the app answered 500 Internal Server Error" {
		t.Errorf("message %q", got)
	}
	if got := o.givenUp(1, "no time").fault.Message; got != "given up after 1 attempt (no time): the app answered 500 Internal Server Error" {
		t.Errorf("message %q", got)
	}
	if got := o.givenUp(3, "3 of 3").fault.Message; got != "given up after 3 attempts (3 of 3): the app answered 500 Internal Server Error" {
		t.Errorf("message %q", got)
	}
}

func TestRecordTellsWaitsApart(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	held := store.Execution{CreatedAt: began, StartedAt: began.Add(2 * time.Second), Version: 1}
	warm := outcome{waited: time.Second, ran: time.Minute, version: 2}.record(held)
	if warm.Queued != 3*time.Second || warm.ColdStart != 0 || warm.Ran != time.Minute || warm.Version != 2 {
		t.Errorf("warm: %+v", warm)
	}
	delayed := held
	delayed.NotBefore = began.Add(time.Second)
	if late := (outcome{}).record(delayed); late.Queued != time.Second {
		t.Errorf("delayed: %+v, want what it waited beyond its delay", late)
	}
	cold := outcome{waited: time.Second, cold: true}.record(held)
	if cold.Queued != 2*time.Second || cold.ColdStart != time.Second || cold.Version != 1 {
		t.Errorf("cold: %+v", cold)
	}
}

func TestKeepLeavesOutCredentialsAndWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	kept := keep(http.Header{
		"Content-Type": {"text/plain"},
		"X-Many":       {"1", "2"},
		"X-Much":       {strings.Repeat("x", maxHeader)},
		"X-Over":       {"after the one that is too much"},

		"Set-Cookie":          {"session=secret"},
		"Set-Cookie2":         {"session=secret"},
		"Authorization":       {"Bearer secret"},
		"Cookie":              {"session=secret"},
		"Proxy-Authorization": {"Basic secret"},
	})
	if len(kept) != 2 || kept.Get("Content-Type") != "text/plain" || len(kept["X-Many"]) != 2 {
		t.Errorf("kept %v", kept)
	}
}

func FuzzClip(f *testing.F) {
	f.Add("short")
	f.Add(strings.Repeat("ä", maxMessage))
	f.Add(strings.Repeat("\xff\xfe日本", maxMessage/4))
	f.Fuzz(func(t *testing.T, text string) {
		got := clip(text)
		if !utf8.ValidString(got) || len(got) > maxMessage {
			t.Errorf("clip made %d bytes of %d, valid: %v", len(got), len(text), utf8.ValidString(got))
		}
		if utf8.ValidString(text) && len(text) <= maxMessage && got != text {
			t.Errorf("clip changed a text that fits")
		}
	})
}
