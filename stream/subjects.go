package stream

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// Every subject, stream name and consumer name of this package is built here, and those that come back are parsed here.
//
//	ignite.work.<shard>.<org>.<app>.<execution>   work that waits, in IGNITE_WORK_<shard>
//	ignite.later.<execution>.at                   work that waits for its time, in IGNITE_LATER
//	ignite.later.<execution>.due.<org>.<app>      the same work, once its time has come
//	ignite.dead.<execution>.<org>.<app>           work that ended badly, in IGNITE_DEADLETTER
//	ignite.wake.<org>.<app>                       core: work for the app was enqueued
//	ignite.output.<execution>.<attempt>           chunks, in IGNITE_OUTPUT
//	ignite.watch.<execution>.output.<attempt>     core: the same chunk, once stored
//	ignite.watch.<execution>.state                core: the record, once stored; republished by the store's bucket
//	ignite.ask.<topic>                            core: questions between processes
//
// A name's "." would end a token, so it is written "_", which names never hold.

const (
	outputStream = "IGNITE_OUTPUT"
	laterStream  = "IGNITE_LATER"
	deadStream   = "IGNITE_DEADLETTER"
	// moverConsumer takes what is due from laterStream.
	moverConsumer = "mover"
)

const (
	allWakes      = "ignite.wake.*.*"
	allOutput     = "ignite.output.*.*"
	watchedOutput = "ignite.watch.{{wildcard(1)}}.output.{{wildcard(2)}}"
	allLater      = "ignite.later.>"
	allDue        = "ignite.later.*.due.*.*"
	allDead       = "ignite.dead.*.*.*"

	workPrefix   = "ignite.work."
	laterPrefix  = "ignite.later."
	deadPrefix   = "ignite.dead."
	wakePrefix   = "ignite.wake."
	outputPrefix = "ignite.output."
	watchPrefix  = "ignite.watch."

	maxNameLength  = 63
	maxTokenLength = 128
)

func workStream(shard int) string { return "IGNITE_WORK_" + strconv.Itoa(shard) }

func shardSubjects(shard int) string { return workPrefix + strconv.Itoa(shard) + ".>" }

// shardOf is the same in every process, whatever its version: stored work must be found again.
func shardOf(app App, shards int) int {
	hash := fnv.New32a()
	hash.Write([]byte(app.Org + "/" + app.Name))
	return int(hash.Sum32() % uint32(shards))
}

func workSubject(shard int, app App, execution string) string {
	return workPrefix + strconv.Itoa(shard) + "." + token(app.Org) + "." + token(app.Name) + "." + execution
}

// parseWork is the inverse of workSubject.
func parseWork(subject string) (app App, execution string, err error) {
	rest, ok := strings.CutPrefix(subject, workPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 4 {
		return App{}, "", fmt.Errorf("%w: %q is no subject of work", ErrInvalid, subject)
	}
	if _, err := strconv.ParseUint(parts[0], 10, 16); err != nil {
		return App{}, "", fmt.Errorf("%w: %q names no shard", ErrInvalid, subject)
	}
	return parseNames(parts[1], parts[2], parts[3])
}

// parseStoredWork reads the app and the execution from the subject of any stream that holds work.
func parseStoredWork(subject string) (app App, execution string, err error) {
	switch {
	case strings.HasPrefix(subject, laterPrefix):
		return parseDue(subject)
	case strings.HasPrefix(subject, deadPrefix):
		return parseDead(subject)
	}
	return parseWork(subject)
}

func scheduleSubject(execution string) string { return laterPrefix + execution + ".at" }

// laterSubjects is all that stands for the execution there, waiting for its time or due.
func laterSubjects(execution string) string { return laterPrefix + execution + ".>" }

func dueSubject(app App, execution string) string {
	return laterPrefix + execution + ".due." + token(app.Org) + "." + token(app.Name)
}

// parseDue is the inverse of dueSubject.
func parseDue(subject string) (app App, execution string, err error) {
	rest, ok := strings.CutPrefix(subject, laterPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 4 || parts[1] != "due" {
		return App{}, "", fmt.Errorf("%w: %q is no subject of due work", ErrInvalid, subject)
	}
	return parseNames(parts[2], parts[3], parts[0])
}

func deadSubject(app App, execution string) string {
	return deadPrefix + execution + "." + token(app.Org) + "." + token(app.Name)
}

// deadSubjects finds the execution's dead letter without knowing its app.
func deadSubjects(execution string) string { return deadPrefix + execution + ".*.*" }

// parseDead is the inverse of deadSubject.
func parseDead(subject string) (app App, execution string, err error) {
	rest, ok := strings.CutPrefix(subject, deadPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return App{}, "", fmt.Errorf("%w: %q is no subject of a dead letter", ErrInvalid, subject)
	}
	return parseNames(parts[1], parts[2], parts[0])
}

// parseNames takes tokens that name an app, and the execution.
func parseNames(org, app, execution string) (App, string, error) {
	of := App{Org: name(org), Name: name(app)}
	if err := checkWork(of, execution); err != nil {
		return App{}, "", err
	}
	return of, execution, nil
}

// consumerName holds "=", which is in no name, so that no two apps share one.
func consumerName(app App) string { return token(app.Org) + "=" + token(app.Name) }

func wakeSubject(app App) string { return wakePrefix + token(app.Org) + "." + token(app.Name) }

// parseWake is the inverse of wakeSubject.
func parseWake(subject string) (App, error) {
	rest, _ := strings.CutPrefix(subject, wakePrefix)
	org, app, _ := strings.Cut(rest, ".")
	woken := App{Org: name(org), Name: name(app)}
	return woken, checkApp(woken)
}

func outputSubject(execution string, attempt uint32) string {
	return outputPrefix + execution + "." + strconv.FormatUint(uint64(attempt), 10)
}

func executionOutput(execution string) string { return outputPrefix + execution + ".*" }

// watchSubjects is all that is told of the execution, stateSubject only that its record changed.
func watchSubjects(execution string) string { return watchPrefix + execution + ".>" }
func stateSubject(execution string) string  { return watchPrefix + execution + ".state" }

// parseWatch tells a chunk's subject, which names its attempt, from the record's.
func parseWatch(subject string) (execution string, attempt uint32, output, ok bool) {
	rest, ok := strings.CutPrefix(subject, watchPrefix)
	if !ok {
		return "", 0, false, false
	}
	execution, what, _ := strings.Cut(rest, ".")
	if what == "state" {
		return execution, 0, false, true
	}
	attempt, ok = parseAttempt(what, "output.")
	return execution, attempt, true, ok
}

// parseOutput answers the attempt that a stored chunk's subject names.
func parseOutput(subject, execution string) (attempt uint32, ok bool) {
	return parseAttempt(subject, outputPrefix+execution+".")
}

func parseAttempt(subject, prefix string) (uint32, bool) {
	digits, ok := strings.CutPrefix(subject, prefix)
	attempt, err := strconv.ParseUint(digits, 10, 32)
	return uint32(attempt), ok && err == nil
}

// askSubject takes any topic: what a token may not hold is written "=" and two hexadecimal digits.
func askSubject(topic string) string {
	var subject strings.Builder
	subject.WriteString("ignite.ask.")
	for _, char := range []byte(topic) {
		if isTokenChar(char) {
			subject.WriteByte(char)
		} else {
			fmt.Fprintf(&subject, "=%02X", char)
		}
	}
	return subject.String()
}

func token(name string) string { return strings.ReplaceAll(name, ".", "_") }

func name(token string) string { return strings.ReplaceAll(token, "_", ".") }

func checkWork(app App, execution string) error {
	if err := checkApp(app); err != nil {
		return err
	}
	return checkExecution(execution)
}

func checkApp(app App) error {
	if err := checkName(app.Org); err != nil {
		return fmt.Errorf("organization: %w", err)
	}
	if err := checkName(app.Name); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	return nil
}

// checkName takes 1 to 63 of a-z, 0-9, "-" and ".", beginning and ending with a letter or digit.
func checkName(name string) error {
	if name == "" || len(name) > maxNameLength {
		return fmt.Errorf("%w: %q", ErrInvalid, name)
	}
	for i, char := range []byte(name) {
		separates := (char == '-' || char == '.') && 0 < i && i < len(name)-1
		if !isAlphanumeric(char) && !separates {
			return fmt.Errorf("%w: %q", ErrInvalid, name)
		}
	}
	return nil
}

// checkExecution takes what is one token of a subject.
func checkExecution(execution string) error {
	if execution == "" || len(execution) > maxTokenLength {
		return fmt.Errorf("execution: %w: %q", ErrInvalid, execution)
	}
	for _, char := range []byte(execution) {
		if !isTokenChar(char) {
			return fmt.Errorf("execution: %w: %q", ErrInvalid, execution)
		}
	}
	return nil
}

func isTokenChar(char byte) bool {
	return isAlphanumeric(char) || 'A' <= char && char <= 'Z' || char == '-' || char == '_'
}

func isAlphanumeric(char byte) bool { return 'a' <= char && char <= 'z' || '0' <= char && char <= '9' }
