package fault

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stage is one thing that happened to the app under traffic.
type Stage struct {
	What string
	// Began is when it was ordered, Done when what was ordered was so.
	Began, Done time.Time
	// Version is the only one that answers what is sent from Done on, until the next stage; empty if that is not said.
	Version string
	// Brings says that it was another one before.
	Brings bool
	// Drains says that pods were taken out of service.
	Drains bool
}

// Judge tells in a table how calls fared in each stage, and everything that must not be. drain is how long pods that are taken out of service let
// connections live.
func (tr *Traffic) Judge(stages []Stage, drain time.Duration) (table string, faults []error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "%d calls, %d executions, %d echoes over WebSockets, %d sockets ended with the pods they were drained with\n", len(tr.answers), len(tr.ids), tr.echoes, len(tr.cuts))
	for i, s := range stages {
		until := time.Now()
		if i+1 < len(stages) {
			until = stages[i+1].Began
		}
		text.WriteString(tr.tell(s, until))
		faults = append(faults, tr.strangers(s, until)...)
	}
	for _, a := range tr.answers {
		if a.Fault != nil {
			faults = append(faults, fmt.Errorf("%s, sent %s, after %v: %w", a.Surface, during(stages, a.Sent), a.Answered.Sub(a.Sent).Round(time.Millisecond), a.Fault))
		}
	}
	for _, c := range tr.cuts {
		if !c.allowed(stages, drain) {
			faults = append(faults, fmt.Errorf("a WebSocket was cut %s, %v after it was opened: %w", during(stages, c.At), c.At.Sub(c.Opened), c.Fault))
		}
	}
	return text.String(), faults
}

// tell is a line of the table: how long the stage took, and what the calls that were sent from its begin to the next one's took beside their time in
// the pod.
func (tr *Traffic) tell(s Stage, until time.Time) string {
	var took []time.Duration
	for _, a := range tr.answers {
		if a.Surface != submission && !a.Sent.Before(s.Began) && a.Sent.Before(until) {
			took = append(took, a.beyond())
		}
	}
	if len(took) == 0 {
		return fmt.Sprintf("%-40s %6d ms\n", s.What, s.Done.Sub(s.Began).Milliseconds())
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() * 1000
	}
	return fmt.Sprintf("%-40s %6d ms; %5d calls: p50 %.1f ms, p99 %.1f ms, max %.1f ms%s\n",
		s.What, s.Done.Sub(s.Began).Milliseconds(), len(took), at(0.5), at(0.99), at(1), tr.firstOf(s))
}

// firstOf says how soon the version answered that the stage brought, if it brought one.
func (tr *Traffic) firstOf(s Stage) string {
	var first time.Time
	for _, a := range tr.answers {
		if at := a.Answered; a.Version != "" && a.Version == s.Version && at.After(s.Began) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !s.Brings || first.IsZero() {
		return ""
	}
	return fmt.Sprintf("; version %s first answered after %d ms", s.Version, first.Sub(s.Began).Milliseconds())
}

// strangers are answers of a version that was out of service when the call was sent.
func (tr *Traffic) strangers(s Stage, until time.Time) (faults []error) {
	for _, a := range tr.answers {
		if s.Version != "" && a.Version != "" && a.Version != s.Version && a.Sent.After(s.Done) && a.Sent.Before(until) {
			faults = append(faults, fmt.Errorf("%s, sent %v after %s was done, was answered by version %s", a.Surface, a.Sent.Sub(s.Done), s.What, a.Version))
		}
	}
	return faults
}

// allowed reports whether a pod may have been drained to the end: then the socket was open all that time.
func (c Cut) allowed(stages []Stage, drain time.Duration) bool {
	return !c.Opened.IsZero() && c.At.Sub(c.Opened) >= drain && slices.ContainsFunc(stages, func(s Stage) bool {
		return s.Drains && c.At.Sub(s.Began) >= drain
	})
}

// during says in which stage a moment was.
func during(stages []Stage, at time.Time) string {
	for _, s := range slices.Backward(stages) {
		if !at.Before(s.Began) {
			return fmt.Sprintf("%v after the order %q", at.Sub(s.Began).Round(time.Millisecond), s.What)
		}
	}
	return "before everything"
}
