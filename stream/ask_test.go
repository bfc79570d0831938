package stream_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"dodil.io/ignite/stream"
)

func TestAskGathers(t *testing.T) {
	t.Parallel()
	s, server := open(t, stream.Options{})
	for number := range 3 {
		process := openOn(t, stream.Options{Conn: server.Connect(t)})
		err := process.Answer(t.Context(), "pods of acme/hello.world", func(question []byte) []byte {
			if number == 2 {
				return nil
			}
			return fmt.Appendf(nil, "%s %d", question, number)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	answers, err := s.Ask(t.Context(), "pods of acme/hello.world", []byte("who"), patience)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("asking took %s although everybody had answered", took)
	}
	var got []string
	for _, answer := range answers {
		got = append(got, string(answer))
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"who 0", "who 1"}) {
		t.Errorf("answers are %q", got)
	}
}

func TestAskNobody(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx := within(t, patience)
	answers, err := s.Ask(ctx, "nobody", nil, time.Hour)
	if err != nil || len(answers) != 0 {
		t.Errorf("nobody answered %q, %v", answers, err)
	}
}

func TestAnswerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := open(t, stream.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := s.Answer(ctx, "topic", func([]byte) []byte { return []byte("here") }); err != nil {
		t.Fatal(err)
	}
	bounded := within(t, patience)
	if answers, err := s.Ask(bounded, "topic", nil, patience); err != nil || len(answers) != 1 {
		t.Fatalf("answers are %q, %v; want one", answers, err)
	}
	cancel()
	for {
		// Short, because a question may still be on its way to who no longer listens.
		answers, err := s.Ask(bounded, "topic", nil, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(answers) == 0 {
			return
		}
	}
}
