package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// An execution that went well: submitted, acknowledged, seen running and completed, checked, called once.
func wentWell(l *Ledger, id string) (tag string, call Call) {
	tag = l.Submit(Small)
	l.Acknowledge(tag, id)
	l.Sight(id, 1, false)
	l.Sight(id, 2, false)
	l.Sight(id, 3, true)
	l.Check(&ignitev1.Execution{Id: id, Status: completed, Attempt: 1, Result: Small.Result(tag, 1)})
	return tag, Call{At: time.Now(), Execution: id, Attempt: 1, Tag: tag, Answer: 200}
}

// The suite is worth what its ledger notices.
func TestLedgerNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(l *Ledger) []Call
		want string
		has  func(Report) bool
	}{
		"lost": {func(l *Ledger) []Call {
			l.Acknowledge(l.Submit(Small), "exec_A")
			return nil
		}, "has no end", func(r Report) bool { return r.Lost == 1 }},
		"settled twice, once seen late": {func(l *Ledger) []Call {
			_, call := wentWell(l, "exec_A")
			l.Sight("exec_A", 5, true)
			l.Sight("exec_A", 3, true)
			return []Call{call}
		}, "written again at 5", func(r Report) bool { return r.SettledTwice == 1 }},
		"run again after its end": {func(l *Ledger) []Call {
			_, call := wentWell(l, "exec_A")
			l.Sight("exec_A", 4, false)
			return []Call{call}
		}, "written again at 4", func(r Report) bool { return r.SettledTwice == 1 }},
		"settled twice, never acknowledged": {func(l *Ledger) []Call {
			l.Sight("exec_A", 3, true)
			l.Sight("exec_A", 4, true)
			return nil
		}, "written again", func(r Report) bool { return r.SettledTwice == 1 && r.Unacknowledged == 1 }},
		"doubled without a reason": {func(l *Ledger) []Call {
			_, call := wentWell(l, "exec_A")
			l.Kill("before both", call.At.Add(-time.Minute))
			again := call
			again.At, again.Attempt = call.At.Add(time.Second), 2
			call.At = call.At.Add(time.Second / 2)
			return []Call{call, again}
		}, "nothing explains", func(r Report) bool { return r.Duplicates == 1 && r.Unexplained == 1 }},
		"the same attempt twice, in spite of a kill": {func(l *Ledger) []Call {
			_, call := wentWell(l, "exec_A")
			l.Kill("between", call.At)
			again := call
			again.At = time.Now()
			return []Call{call, again}
		}, "nothing explains", func(r Report) bool { return r.Unexplained == 1 }},
		"another's result": {func(l *Ledger) []Call {
			tag := l.Submit(Small)
			l.Acknowledge(tag, "exec_A")
			l.Check(&ignitev1.Execution{Id: "exec_A", Status: completed, Result: Small.Result("small-2", 1)})
			return nil
		}, "not the one of its request", nil},
		"the wrong end": {func(l *Ledger) []Call {
			l.Acknowledge(l.Submit(Small), "exec_A")
			l.Check(&ignitev1.Execution{Id: "exec_A", Status: failed})
			return nil
		}, "ended EXECUTION_STATUS_FAILED", nil},
		"cancelled in vain": {func(l *Ledger) []Call {
			tag := l.Submit(Cancelled)
			l.Acknowledge(tag, "exec_A")
			l.Cancel("exec_A")
			l.Check(&ignitev1.Execution{Id: "exec_A", Status: completed, Result: Cancelled.Result(tag, 1)})
			return nil
		}, "was cancelled, and is", nil},
		"a key with two ids": {func(l *Ledger) []Call {
			tag := l.Submit(Keyed)
			l.Acknowledge(tag, "exec_A")
			l.Acknowledge(tag, "exec_B")
			return nil
		}, "stands for exec_A and for exec_B", nil},
		"a key that ran twice": {func(l *Ledger) []Call {
			tag := l.Submit(Keyed)
			return []Call{{Execution: "exec_A", Attempt: 1, Tag: tag}, {Execution: "exec_B", Attempt: 1, Tag: tag}}
		}, "ran as exec_A and as exec_B", func(r Report) bool { return r.KeysBroken == 1 }},
		"an id for two calls": {func(l *Ledger) []Call {
			l.Acknowledge(l.Submit(Small), "exec_A")
			l.Acknowledge(l.Submit(Small), "exec_A")
			return nil
		}, "was given out for", nil},
		"redriven twice": {func(l *Ledger) []Call {
			l.Acknowledge(l.Submit(Redriven), "exec_A")
			l.Redrive("exec_A", "exec_B")
			l.Redrive("exec_A", "exec_C")
			return nil
		}, "redriven as exec_B and as exec_C", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := NewLedger()
			report := l.Judge(test.do(l))
			if !strings.Contains(strings.Join(report.Faults, "\n"), test.want) || test.has != nil && !test.has(report) {
				t.Errorf("the ledger did not notice it: %s\n%q", report, report.Faults)
			}
		})
	}
}

// What is allowed is no fault.
func TestLedgerForgivesWhatIsExplained(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	_, once := wentWell(l, "exec_A")
	_, killed := wentWell(l, "exec_B")
	l.Kill("kill", killed.At)
	afterKill := killed
	afterKill.At, afterKill.Attempt = time.Now(), 2
	_, refused := wentWell(l, "exec_C")
	refused.Answer = 503
	afterRefusal := refused
	afterRefusal.At, afterRefusal.Attempt, afterRefusal.Answer = time.Now(), 2, 200
	l.Sight("exec_never_acknowledged", 9, true)
	report := l.Judge([]Call{once, killed, refused, afterKill, afterRefusal})
	if len(report.Faults) > 0 || report.Duplicates != 2 || report.Acknowledged != 3 || report.Ends["COMPLETED"] != 3 || report.Unacknowledged != 1 || report.Kills != 1 {
		t.Errorf("%s\n%q", report, report.Faults)
	}
}

func TestCallsAreRead(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "calls")
	if calls, err := ReadCalls(name); err != nil || len(calls) > 0 {
		t.Errorf("no file: %v, %v", calls, err)
	}
	if err := os.WriteFile(name, []byte("2000000000 exec_B 2 small-1 200\n1000000000 exec_A 1 fails-2 500\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, err := ReadCalls(name)
	want := Call{At: time.Unix(1, 0), Execution: "exec_A", Attempt: 1, Tag: "fails-2", Answer: 500}
	if err != nil || len(calls) != 2 || calls[0] != want {
		t.Errorf("%v, %v", calls, err)
	}
	if err := os.WriteFile(name, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCalls(name); err == nil {
		t.Error("nonsense is no error")
	}
}
