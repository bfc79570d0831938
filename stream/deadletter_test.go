package stream_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"dodil.io/ignite/stream"
)

func keep(t testing.TB, s *stream.Stream, expires time.Time, works ...stream.Work) {
	t.Helper()
	for _, work := range works {
		if err := s.KeepDeadLetter(t.Context(), work, expires); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadLetter(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	want, other := workOf(hello, 1), workOf(stream.App{Org: "public", Name: "echo"}, 2)
	want.Body = []byte("an older one")
	keep(t, s, time.Now().Add(time.Hour), want, other)
	want.Body = []byte{0, 0xff, '\r', '\n'}
	keep(t, s, time.Now().Add(time.Hour), want)
	server.Restart(t)
	s = openOn(t, stream.Options{Conn: server.Connect(t)})

	got, err := s.DeadLetter(t.Context(), want.Execution)
	if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("kept is %q, %v; want %q", got, err, want)
	}
	letters, err := s.DeadLetters(t.Context(), []string{"exec_none", other.Execution, want.Execution})
	if got := slices.Sorted(maps.Keys(letters)); err != nil || !slices.Equal(got, []string{want.Execution, other.Execution}) {
		t.Errorf("letters are %v, %v", got, err)
	}
	for _, there := range []bool{true, false} {
		if dropped, err := s.DropDeadLetter(t.Context(), want.Execution); err != nil || dropped != there {
			t.Errorf("dropped: %t, %v; want %t", dropped, err, there)
		}
		if _, err := s.DeadLetter(t.Context(), want.Execution); !errors.Is(err, stream.ErrNotFound) {
			t.Errorf("after it was dropped: %v, want ErrNotFound", err)
		}
	}
}

func TestDeadLetterExpires(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	expires := time.Now().Add(1100 * time.Millisecond)
	keep(t, s, expires, workOf(hello, 1))
	keep(t, s, time.Now().Add(time.Hour), workOf(hello, 2))
	eventually(t, "the letter is gone", func() bool {
		_, err := s.DeadLetter(t.Context(), workOf(hello, 1).Execution)
		return errors.Is(err, stream.ErrNotFound)
	})
	if early := time.Until(expires); early > 0 {
		t.Errorf("gone %s too early", early)
	}
	if _, err := s.DeadLetter(t.Context(), workOf(hello, 2).Execution); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

func TestOldestDeadLettersGiveWay(t *testing.T) {
	t.Parallel()
	const count = 200
	s, _ := open(t, stream.Options{MaxWorkBytes: 32 << 10})
	var names []string
	for number := range count {
		keep(t, s, time.Now().Add(time.Hour), workOf(hello, number))
		names = append(names, workOf(hello, number).Execution)
	}
	letters, err := s.DeadLetters(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Sorted(maps.Keys(letters))
	if len(kept) == 0 || len(kept) == count || !slices.Equal(kept, names[count-len(kept):]) {
		t.Errorf("kept are %d of %d: %v", len(kept), count, kept)
	}
}

func TestDeadLettersRefuse(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	if _, err := s.DeadLetters(t.Context(), make([]string, 1001)); !errors.Is(err, stream.ErrTooLarge) {
		t.Errorf("of 1,001: %v", err)
	}
	if _, err := s.DeadLetters(t.Context(), []string{"exec_1", "*"}); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("of many: %v", err)
	}
	if _, err := s.DeadLetter(t.Context(), ">"); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("of all: %v", err)
	}
	if _, err := s.DropDeadLetter(t.Context(), "*"); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("drop of all: %v", err)
	}
	work := workOf(hello, 1)
	work.Owner = ""
	if err := s.KeepDeadLetter(t.Context(), work, time.Now()); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("without owner: %v", err)
	}
}
