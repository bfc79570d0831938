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

func TestFaultOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status store.Status
		code   string
	}{
		{&pod.TimeoutError{Clock: pod.ClockColdStart}, store.Timeout, "TIMEOUT_COLD_START"},
		{fmt.Errorf("call pod: %w", &pod.TimeoutError{Clock: pod.ClockFirstByte}), store.Timeout, "TIMEOUT_FIRST_BYTE"},
		{&pod.TimeoutError{Clock: pod.ClockIdle}, store.Timeout, "TIMEOUT_IDLE"},
		{&pod.TimeoutError{Clock: pod.ClockTotal}, store.Timeout, "TIMEOUT_TOTAL"},
		{&pod.StartError{Pod: "p", Reason: "exit status 1"}, store.Failed, codeStartFailed},
		{fmt.Errorf("call pod: %w: connection reset", pod.ErrBroken), store.Failed, codeBroken},
		{errResultTooLarge, store.Failed, codeResultTooLarge},
		{fmt.Errorf("%w: %w", pod.ErrAppGone, store.ErrNotFound), store.Failed, codeAppDeleted},
		{pod.ErrNotPublished, store.Failed, codeNotPublished},
		{errors.New("whatever else"), store.Failed, codeInternal},
	} {
		status, fault := faultOf(c.err)
		if status != c.status || fault.Code != c.code || !strings.Contains(fault.Message, c.err.Error()) {
			t.Errorf("faultOf(%v) = %s, %+v; want %s, %s", c.err, status, fault, c.status, c.code)
		}
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
	cold := outcome{waited: time.Second, cold: true}.record(held)
	if cold.Queued != 2*time.Second || cold.ColdStart != time.Second || cold.Version != 1 {
		t.Errorf("cold: %+v", cold)
	}
}

func TestKeepLeavesOutCookiesAndWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	kept := keep(http.Header{
		"Content-Type": {"text/plain"},
		"Set-Cookie":   {"session=secret"},
		"X-Many":       {"1", "2"},
		"X-Much":       {strings.Repeat("x", maxHeader)},
		"X-Over":       {"after the one that is too much"},
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
