package store

import (
	"bytes"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// NameRule explains ValidName to a person.
const NameRule = "a name has 1 to 63 characters of a-z, 0-9, '-' and '.', and begins and ends with a letter or digit"

const (
	maxName  = 63
	maxLabel = 63 // of a DNS label, RFC 1035
	maxPort  = 65535
)

// DefaultPort is the port of an app that declares none. Its host label does not show it.
const DefaultPort = 80

// ValidName reports whether name can be the name of an organization or of an app; see NameRule.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		if !letterOrDigit(c) && c != '-' && c != '.' {
			return false
		}
	}
	return letterOrDigit(name[0]) && letterOrDigit(name[len(name)-1])
}

func letterOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func (r AppRef) valid() bool { return ValidName(r.Org) && ValidName(r.Name) }

// HostLabel answers the DNS label under which a port of an app is published: "<app>-<org>" for port 80,
// "<app>-<org>-<port>" for another, with a '.' written as "-dot-". Different apps may have the same label, so it
// cannot be parsed: PublishVersion claims labels, and Host looks them up.
// It is not ok if a name or the port is invalid, or the label longer than DNS allows.
func HostLabel(ref AppRef, port uint32) (label string, ok bool) {
	if !ref.valid() || port == 0 || port > maxPort {
		return "", false
	}
	label = ref.Name + "-" + ref.Org
	if port != DefaultPort {
		label += "-" + strconv.FormatUint(uint64(port), 10)
	}
	label = strings.ReplaceAll(label, ".", "-dot-")
	return label, len(label) <= maxLabel
}

// validLabel reports whether label can be a key of the hosts bucket, as every label of HostLabel can.
func validLabel(label string) bool {
	return len(label) <= maxLabel && ValidName(label) && !strings.Contains(label, ".")
}

const executionPrefix = "exec_"

// NewExecutionID answers a fresh id, "exec_" and a ULID; ids made later sort later.
func NewExecutionID() string { return executionID(newULID(time.Now())) }

// ValidExecutionID reports whether id has the form that NewExecutionID gives it.
func ValidExecutionID(id string) bool {
	_, ok := parseExecutionID(id)
	return ok
}

func executionID(id ulid.ULID) string { return executionPrefix + id.String() }

// parseExecutionID is the inverse of executionID.
func parseExecutionID(id string) (parsed ulid.ULID, ok bool) {
	text, ok := strings.CutPrefix(id, executionPrefix)
	if !ok {
		return ulid.ULID{}, false
	}
	parsed, err := ulid.ParseStrict(text)
	return parsed, err == nil && parsed.String() == text
}

// newULID puts what a ULID's millisecond leaves of the clock, 20 bits of nanoseconds, at the head of its random part.
// So ids sort by time within a millisecond too, without a lock or a counter that all callers would share.
func newULID(now time.Time) ulid.ULID {
	var id ulid.ULID
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	setTime(&id, now)
	return id
}

func setTime(id *ulid.ULID, now time.Time) {
	_ = id.SetTime(ulid.Timestamp(now))
	nanos := now.Nanosecond() % int(time.Millisecond)
	id[6] = byte(nanos >> 12)
	id[7] = byte(nanos >> 4)
	id[8] = byte(nanos<<4) | id[8]&0x0f
}

// lastULID is behind all that are ever made.
var lastULID = ulid.ULID(bytes.Repeat([]byte{0xff}, len(ulid.ULID{})))

// firstULID is the least that newULID makes at a time, within the times that one can say.
func firstULID(t time.Time) (first ulid.ULID) {
	switch {
	case t.Before(time.Unix(0, 0)):
		return ulid.ULID{}
	case t.After(ulid.Time(ulid.MaxTime())):
		return lastULID
	}
	setTime(&first, t)
	return first
}
