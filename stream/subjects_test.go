package stream

import (
	"strings"
	"testing"
)

func FuzzWorkSubject(f *testing.F) {
	f.Add("acme-corp", "hello.world", "exec_01HZX9", 3)
	f.Add("a.b", "c", "e", 0)
	f.Add("a", "b.c", "e", 0)
	f.Add("*", ">", "..", -1)
	f.Fuzz(func(t *testing.T, org, app, execution string, shard int) {
		of := App{Org: org, Name: app}
		if checkWork(of, execution) != nil || shard < 0 || shard > 1<<15 {
			return
		}
		subject := workSubject(shard, of, execution)
		wantPlain(t, subject, 6)
		gotApp, gotExecution, err := parseWork(subject)
		if err != nil || gotApp != of || gotExecution != execution {
			t.Errorf("%q is %v %q, %v; want %v %q", subject, gotApp, gotExecution, err, of, execution)
		}
		wantPlain(t, wakeSubject(of), 4)
		if got, err := parseWake(wakeSubject(of)); err != nil || got != of {
			t.Errorf("%q is %v, %v; want %v", wakeSubject(of), got, err, of)
		}
		wantPlain(t, consumerName(of), 1)
	})
}

func FuzzStoredWorkSubject(f *testing.F) {
	f.Add("acme-corp", "hello.world", "exec_01HZX9")
	f.Add("a.b", "c", "at")
	f.Add("a", "b.c", "due")
	f.Fuzz(func(t *testing.T, org, app, execution string) {
		of := App{Org: org, Name: app}
		if checkWork(of, execution) != nil {
			return
		}
		stored := map[string]int{workSubject(3, of, execution): 6, dueSubject(of, execution): 6, deadSubject(of, execution): 5}
		for subject, tokens := range stored {
			wantPlain(t, subject, tokens)
			gotApp, gotExecution, err := parseStoredWork(subject)
			if err != nil || gotApp != of || gotExecution != execution {
				t.Errorf("%q is %v %q, %v; want %v %q", subject, gotApp, gotExecution, err, of, execution)
			}
		}
		wantPlain(t, scheduleSubject(execution), 4)
		wantMatch(t, scheduleSubject(execution), allLater, laterSubjects(execution))
		wantMatch(t, dueSubject(of, execution), allLater, allDue, laterSubjects(execution))
		wantMatch(t, deadSubject(of, execution), allDead, deadSubjects(execution))
		if matches(scheduleSubject(execution), allDue) {
			t.Errorf("the mover would take %q before its time", scheduleSubject(execution))
		}
	})
}

// What names no work must not pass for it.
func FuzzParseStoredWork(f *testing.F) {
	f.Add("ignite.work.3.acme-corp.hello_world.exec_01HZX9")
	f.Add("ignite.later.exec_01HZX9.due.acme-corp.hello_world")
	f.Add("ignite.later.exec_01HZX9.at")
	f.Add("ignite.later.exec_01HZX9.at.acme-corp.hello_world")
	f.Add("ignite.dead.exec_01HZX9.acme-corp.hello_world")
	f.Fuzz(func(t *testing.T, subject string) {
		app, execution, err := parseStoredWork(subject)
		if err != nil {
			return
		}
		if err := checkWork(app, execution); err != nil {
			t.Errorf("%q is parsed as what it cannot be: %v", subject, err)
		}
		if subject != dueSubject(app, execution) && subject != deadSubject(app, execution) &&
			afterShard(subject) != afterShard(workSubject(0, app, execution)) {
			t.Errorf("%q is parsed as %v %q", subject, app, execution)
		}
	})
}

func wantMatch(t *testing.T, subject string, filters ...string) {
	t.Helper()
	for _, filter := range filters {
		if !matches(subject, filter) {
			t.Errorf("%q is not among %q", subject, filter)
		}
	}
}

// matches is JetStream's own rule for "*" and a last ">".
func matches(subject, filter string) bool {
	tokens := strings.Split(subject, ".")
	for i, want := range strings.Split(filter, ".") {
		switch {
		case i >= len(tokens):
			return false
		case want == ">":
			return true
		case want != "*" && want != tokens[i]:
			return false
		}
	}
	return len(tokens) == strings.Count(filter, ".")+1
}

// What does not come from workSubject must not pass for it.
func FuzzParseWork(f *testing.F) {
	f.Add("ignite.work.3.acme-corp.hello_world.exec_01HZX9")
	f.Add("ignite.work.3.acme-corp.hello_world")
	f.Add("ignite.work.3.acme-corp._.exec")
	f.Fuzz(func(t *testing.T, subject string) {
		app, execution, err := parseWork(subject)
		if err != nil {
			return
		}
		if want := afterShard(workSubject(0, app, execution)); afterShard(subject) != want {
			t.Errorf("%q is parsed as %v %q", subject, app, execution)
		}
		if err := checkWork(app, execution); err != nil {
			t.Errorf("%q is parsed as what it cannot be: %v", subject, err)
		}
	})
}

// afterShard leaves out the number, which may be written in several ways.
func afterShard(subject string) string { return strings.SplitN(subject, ".", 4)[3] }

func FuzzWatchSubject(f *testing.F) {
	f.Add("exec_01HZX9", uint32(1))
	f.Fuzz(func(t *testing.T, execution string, attempt uint32) {
		if checkExecution(execution) != nil {
			return
		}
		stored := outputSubject(execution, attempt)
		wantPlain(t, stored, 4)
		if got, ok := parseOutput(stored, execution); !ok || got != attempt {
			t.Errorf("%q is attempt %d, %t; want %d", stored, got, ok, attempt)
		}
		watched := republished(stored)
		gotExecution, gotAttempt, output, ok := parseWatch(watched)
		if !ok || !output || gotExecution != execution || gotAttempt != attempt {
			t.Errorf("%q is %q %d %t %t", watched, gotExecution, gotAttempt, output, ok)
		}
		gotExecution, _, output, ok = parseWatch(strings.TrimSuffix(watchSubjects(execution), ">") + "state")
		if !ok || output || gotExecution != execution {
			t.Errorf("the record's subject is %q %t %t", gotExecution, output, ok)
		}
	})
}

// republished is what JetStream makes of a stored subject by allOutput and watchedOutput.
func republished(stored string) string {
	parts := strings.Split(stored, ".")
	return strings.NewReplacer("{{wildcard(1)}}", parts[2], "{{wildcard(2)}}", parts[3]).Replace(watchedOutput)
}

func FuzzAskSubject(f *testing.F) {
	f.Add("pods.acme", "pods=2Eacme")
	f.Add("a b", "a_b")
	f.Fuzz(func(t *testing.T, one, other string) {
		wantPlain(t, askSubject("x"+one), 3)
		if one != other && askSubject(one) == askSubject(other) {
			t.Errorf("%q and %q share %q", one, other, askSubject(one))
		}
	})
}

// wantPlain fails unless subject has so many tokens and no wildcard.
func wantPlain(t *testing.T, subject string, tokens int) {
	t.Helper()
	if strings.ContainsAny(subject, "*> \t\r\n\x00/\\") || strings.Contains("."+subject+".", "..") {
		t.Errorf("%q is no plain subject", subject)
	}
	if got := strings.Count(subject, ".") + 1; got != tokens {
		t.Errorf("%q has %d tokens, want %d", subject, got, tokens)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"a": true, "0": true, "a.b": true, "a-b": true, "a..b": true, strings.Repeat("a", 63): true,
		"": false, ".": false, "-a": false, "a-": false, "a.": false, "A": false, "a_b": false, "é": false,
		"a b": false, "a*": false, strings.Repeat("a", 64): false,
	}
	for name, want := range tests {
		if got := checkName(name) == nil; got != want {
			t.Errorf("%q may be a name: %t, want %t", name, got, want)
		}
	}
}

// Work that is stored must be found by the next release too.
func TestShardsStay(t *testing.T) {
	t.Parallel()
	tests := map[App]int{
		{Org: "acme-corp", Name: "hello.world"}: 7,
		{Org: "acme-corp", Name: "stream"}:      7,
		{Org: "public", Name: "echo"}:           4,
	}
	for app, want := range tests {
		if got := shardOf(app, 8); got != want {
			t.Errorf("%s is in shard %d, want %d", app, got, want)
		}
	}
}
