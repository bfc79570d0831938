package store_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
)

func appendLog(t *testing.T, s *store.Store, id string, end store.BuildEnd, lines ...string) {
	t.Helper()
	part := store.BuildPart{App: hello, End: end}
	for _, line := range lines {
		part.Lines = append(part.Lines, store.BuildLine{At: time.Now().UTC(), Text: line})
	}
	if err := s.AppendBuildLog(t.Context(), id, part); err != nil {
		t.Fatal(err)
	}
}

// wantParts reads the next parts of a log and compares their lines.
func wantParts(t *testing.T, next func() (store.BuildPart, error, bool), want ...string) {
	t.Helper()
	for _, lines := range want {
		part, err, ok := next()
		got := string(part.End)
		for _, line := range part.Lines {
			got += " " + line.Text
		}
		if err != nil || !ok || got != lines || part.App != hello {
			t.Fatalf("got %q of %s, %v, %v; want %q", got, part.App, err, ok, lines)
		}
	}
}

func TestBuildLog(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	writer, reader := open(t, server, store.Options{}), open(t, server, store.Options{})
	appendLog(t, writer, "BUILD1", "")
	appendLog(t, writer, "BUILD2", "", "of another")
	appendLog(t, writer, "BUILD1", "", "one", "two")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	next, stop := iter.Pull2(reader.BuildLog(ctx, "BUILD1"))
	defer stop()
	wantParts(t, next, "", " one two")
	for i := range 3 { // what comes while it is followed
		line := fmt.Sprint("line ", i)
		appendLog(t, writer, "BUILD1", "", line)
		wantParts(t, next, " "+line)
	}
	appendLog(t, writer, "BUILD1", store.BuildFailed, "the end")
	wantParts(t, next, "failed the end")
	if _, err, more := next(); more {
		t.Errorf("after its end it goes on, with %v", err)
	}
	late, stopLate := iter.Pull2(reader.BuildLog(ctx, "BUILD1"))
	defer stopLate()
	wantParts(t, late, "", " one two", " line 0", " line 1", " line 2", "failed the end")
}

func TestBuildLogThatIsNot(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, id := range []string{"MISSING", "", "*", ">", "a.b", "told.x"} {
		for _, err := range s.BuildLog(t.Context(), id) {
			wantError(t, err, store.ErrNotFound)
		}
	}
	wantError(t, s.AppendBuildLog(t.Context(), "a.b", store.BuildPart{}), store.ErrInvalidName)
}

func TestFollowingABuildLogEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := setup(t)
	appendLog(t, s, "BUILD1", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	parts := 0
	for _, err := range s.BuildLog(ctx, "BUILD1") {
		if parts++; parts == 1 {
			cancel()
			continue
		}
		wantError(t, err, context.Canceled)
	}
	if parts != 2 {
		t.Errorf("got %d parts and errors, want 2", parts)
	}
}

// A follower is not left waiting when the server that built is gone.
func TestBuildLogThatIsCutOff(t *testing.T) {
	t.Parallel()
	s := setup(t)
	appendLog(t, s, "BUILD1", "", "the last word")
	var got error
	for _, err := range store.FollowBuildLog(t.Context(), s, "BUILD1", 50*time.Millisecond) {
		got = err
	}
	wantError(t, got, store.ErrBuildCutOff)
}
