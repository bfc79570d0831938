package fault

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// What must not be while an app changes is found, and what may be is let pass.
func TestTrafficIsJudged(t *testing.T) {
	t.Parallel()
	const drain = 3 * time.Second
	began := time.Now().Add(-time.Hour)
	at := func(d time.Duration) time.Time { return began.Add(d) }
	stages := []Stage{
		{What: "start", Began: began, Done: at(time.Second), Version: "1"},
		{What: "rollout", Began: at(10 * time.Second), Done: at(11 * time.Second), Version: "2", Brings: true, Drains: true},
	}
	broken := errors.New("connection reset")
	for name, c := range map[string]struct {
		answer Answer
		cut    Cut
		fault  string
	}{
		"the version before, while the new one comes": {answer: Answer{Sent: at(10500 * time.Millisecond), Version: "1"}},
		"the new version":                           {answer: Answer{Sent: at(12 * time.Second), Version: "2"}},
		"the version before, afterwards":            {answer: Answer{Sent: at(12 * time.Second), Version: "1"}, fault: "answered by version 1"},
		"a version that is not there yet":           {answer: Answer{Sent: at(2 * time.Second), Version: "2"}, fault: "answered by version 2"},
		"a call that fails":                         {answer: Answer{Sent: at(10500 * time.Millisecond), Fault: broken}, fault: `500ms after the order "rollout"`},
		"a socket that drained to the end":          {cut: Cut{Opened: at(5 * time.Second), At: at(14 * time.Second), Fault: broken}},
		"a socket that is cut while its pod drains": {cut: Cut{Opened: at(5 * time.Second), At: at(12 * time.Second), Fault: broken}, fault: "was cut"},
		"a socket that is cut for nothing":          {cut: Cut{Opened: at(2 * time.Second), At: at(8 * time.Second), Fault: broken}, fault: "was cut"},
		"a socket of a new pod":                     {cut: Cut{Opened: at(12 * time.Second), At: at(14 * time.Second), Fault: broken}, fault: "was cut"},
		"a socket that could not be opened":         {cut: Cut{At: at(14 * time.Second), Fault: broken}, fault: "was cut"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := &Traffic{}
			if !c.answer.Sent.IsZero() {
				tr.answers = []Answer{c.answer}
			}
			if !c.cut.At.IsZero() {
				tr.cuts = []Cut{c.cut}
			}
			_, faults := tr.Judge(stages, drain)
			switch {
			case c.fault == "" && len(faults) > 0:
				t.Errorf("it is no fault, but %v", faults)
			case c.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0].Error(), c.fault)):
				t.Errorf("faults %v, want one that says %q", faults, c.fault)
			}
		})
	}
}
