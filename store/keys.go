package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
)

// The buckets. A bucket of key-values is the stream KV_<bucket> with the subjects $KV.<bucket>.<key>.
const (
	appsBucket        = "ignite_apps"
	versionsBucket    = "ignite_versions"
	hostsBucket       = "ignite_hosts"
	executionsBucket  = "ignite_executions"
	idempotencyBucket = "ignite_idempotency"
	codeBucket        = "ignite_code"
	payloadStream     = "IGNITE_PAYLOADS"
	usageStream       = "IGNITE_USAGE"
	buildLogStream    = "IGNITE_BUILDLOGS"
)

const (
	appSubjects         = "$KV." + appsBucket + "."
	executionSubjects   = "$KV." + executionsBucket + "."
	versionSubjects     = "$KV." + versionsBucket + "."
	idempotencySubjects = "$KV." + idempotencyBucket + "."
	payloadSubjects     = "ignite.payload."
	usageSubjects       = "ignite.usage."
	buildLogSubjects    = "ignite.buildlog."
	// buildLogTold is where it is told that a part of a build's log was stored.
	buildLogTold = buildLogSubjects + "told."
	// Every stored record is told again under its execution's id, for those who watch it.
	republishSource      = executionSubjects + "*.*.*"
	republishDestination = "ignite.watch.{{wildcard(2)}}.state"
)

var errKey = errors.New("not a key of this bucket")

// A '.' parts the tokens of a key. Names may hold one and never hold '_', so it stands in for it.
var (
	toToken   = strings.NewReplacer(".", "_")
	fromToken = strings.NewReplacer("_", ".")
)

// appKey is "<org>.<app>".
func appKey(ref AppRef) string { return toToken.Replace(ref.Org) + "." + toToken.Replace(ref.Name) }

func parseAppKey(key string) (AppRef, error) {
	org, name, _ := strings.Cut(key, ".")
	ref := AppRef{Org: fromToken.Replace(org), Name: fromToken.Replace(name)}
	if !ref.valid() || appKey(ref) != key {
		return AppRef{}, fmt.Errorf("app %q: %w", key, errKey)
	}
	return ref, nil
}

// versionKey is "<org>.<app>.<incarnation>.<number>". The incarnation keeps a new app from seeing the versions of a
// deleted one of the same name.
func versionKey(ref AppRef, incarnation string, number uint32) string {
	return versionsOf(ref, incarnation) + "." + strconv.FormatUint(uint64(number), 10)
}

// versionsOf is what the keys of one incarnation's versions begin with.
func versionsOf(ref AppRef, incarnation string) string { return appKey(ref) + "." + incarnation }

// parseVersionSubject answers the incarnation, which is all that a sweep wants to know.
func parseVersionSubject(subject string) (incarnation string, err error) {
	key, _ := strings.CutPrefix(subject, versionSubjects)
	tokens := strings.Split(key, ".")
	if len(tokens) != 4 || tokens[2] == "" {
		return "", fmt.Errorf("version %q: %w", subject, errKey)
	}
	return tokens[2], nil
}

// executionKey is "<org>.<execution>.<app's org>=<app>". The id comes before the app, so that the look-up by id alone
// (executionFilter) walks a prefix and is as fast as one by the whole key.
func executionKey(org, id string, app AppRef) string {
	return executionFilter(org, id) + appToken(app)
}

// appToken is one token for an app, "<app's org>=<app>".
func appToken(app AppRef) string { return toToken.Replace(app.Org) + "=" + toToken.Replace(app.Name) }

// appOf is the inverse of appToken.
func appOf(token string) AppRef {
	org, name, _ := strings.Cut(token, "=")
	return AppRef{Org: fromToken.Replace(org), Name: fromToken.Replace(name)}
}

func executionFilter(org, id string) string { return toToken.Replace(org) + "." + id + "." }

func parseExecutionKey(key string) (org, id string, app AppRef, err error) {
	tokens := strings.Split(key, ".")
	if len(tokens) != 3 {
		return "", "", AppRef{}, fmt.Errorf("execution %q: %w", key, errKey)
	}
	org, id = fromToken.Replace(tokens[0]), tokens[1]
	app = appOf(tokens[2])
	if !ValidName(org) || !ValidExecutionID(id) || !app.valid() || executionKey(org, id, app) != key {
		return "", "", AppRef{}, fmt.Errorf("execution %q: %w", key, errKey)
	}
	return org, id, app, nil
}

// cutExecutionSubject is parseExecutionKey for one who reads a million keys that CreateExecution made: names stay tokens, and are not
// looked at.
func cutExecutionSubject(subject string) (owner string, id ulid.ULID, app string, ok bool) {
	key, ok := strings.CutPrefix(subject, executionSubjects)
	if !ok {
		return "", ulid.ULID{}, "", false
	}
	owner, rest, _ := strings.Cut(key, ".")
	text, app, _ := strings.Cut(rest, ".")
	id, ok = parseExecutionID(text)
	return owner, id, app, ok && strings.Contains(app, "=")
}

// idempotencyKey is "<org>.<app's org>=<app>.<SHA-256 of the idempotency key, in hex>": callers' keys may hold anything.
func idempotencyKey(org string, app AppRef, key string) string {
	sum := sha256.Sum256([]byte(key))
	return toToken.Replace(org) + "." + appToken(app) + "." + hex.EncodeToString(sum[:])
}

// In the name of a payload "." stands between words; in its subject, where that would part tokens, "=" does.
var (
	toPayloadToken   = strings.NewReplacer(".", "=")
	fromPayloadToken = strings.NewReplacer("=", ".")
)

const maxPayloadName = 128

// validPayloadName reports whether name can be one: letters, digits, '_', '-' and '.'.
func validPayloadName(name string) bool {
	for _, c := range []byte(name) {
		if !letterOrDigit(c) && (c < 'A' || c > 'Z') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return name != "" && len(name) <= maxPayloadName
}

// payloadSubject is where a chunk of a payload lies: "ignite.payload.<name>.<index>".
func payloadSubject(name string, index int) string {
	return payloadSubjects + toPayloadToken.Replace(name) + "." + strconv.Itoa(index)
}

// payloadFilter fits all chunks of a payload.
func payloadFilter(name string) string { return payloadSubjects + toPayloadToken.Replace(name) + ".*" }

func parsePayloadSubject(subject string) (name string, index int, err error) {
	token, digits, _ := strings.Cut(strings.TrimPrefix(subject, payloadSubjects), ".")
	name = fromPayloadToken.Replace(token)
	index, err = strconv.Atoi(digits)
	if err != nil || index < 0 || !validPayloadName(name) || payloadSubject(name, index) != subject {
		return "", 0, fmt.Errorf("payload %q: %w", subject, errKey)
	}
	return name, index, nil
}

const maxBuildID = 64

// validBuildID reports whether id can be a build's: letters and digits.
func validBuildID(id string) bool {
	for _, c := range []byte(id) {
		if !letterOrDigit(c) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return id != "" && len(id) <= maxBuildID
}

// buildLogSubject is where the parts of a build's log lie: "ignite.buildlog.<id>".
func buildLogSubject(id string) string { return buildLogSubjects + id }

// usageSubject counts one kind of an app's calls: "ignite.usage.<org>.<app>.<kind>".
func usageSubject(ref AppRef, kind string) string { return usageSubjects + appKey(ref) + "." + kind }

func parseUsageSubject(subject string) (ref AppRef, kind string, err error) {
	key, ok := strings.CutPrefix(subject, usageSubjects)
	last := strings.LastIndexByte(key, '.')
	if !ok || last < 0 {
		return AppRef{}, "", fmt.Errorf("usage %q: %w", subject, errKey)
	}
	if ref, err = parseAppKey(key[:last]); err != nil {
		return AppRef{}, "", fmt.Errorf("usage %q: %w", subject, errKey)
	}
	return ref, key[last+1:], nil
}
