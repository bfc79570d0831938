package auth

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// orgName is the rule of store for names, repeated because this package imports nothing of ours: a name that breaks it could not
// own anything, and in a subject or a key it would be a way into another organization's.
var orgName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

const orgNameRule = "1 to 63 of a-z, 0-9, - and ., beginning and ending with a letter or digit"

// claims are what a token says, by the exact name: encoding/json would also take "SCOPE" for "scope" in a struct.
type claims map[string]json.RawMessage

// principalOf reads the payload of a token whose signature, issuer and time were verified. What cannot be read grants nothing,
// so a claim of a strange form, or an organization whose name breaks the rule, is passed over.
//
// A token without a subject is taken: some providers leave it out of what they give to services, nothing here
// is decided by it, and the client's id says as much in a log.
func principalOf(payload []byte, expires time.Time) (Principal, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Principal{}, fmt.Errorf("%w: the claims are no JSON object: %w", ErrUnauthenticated, err)
	}
	return Principal{
		Subject: cmp.Or(c.text("sub"), c.text("client_id"), c.text("azp")),
		Orgs:    c.orgs(),
		Scopes:  c.scopes(),
		Expires: expires,
	}, nil
}

// orgs answers the organizations by name with their ids. An organization whose id the token does not tell is its own id.
func (c claims) orgs() map[string]string {
	found := map[string]string{}
	add := func(name, id string) {
		if orgName.MatchString(name) {
			found[name] = cmp.Or(id, name)
		}
	}
	for name, about := range c.object("organization") {
		var fields claims
		_ = json.Unmarshal(about, &fields) // not an object: no id
		add(name, fields.text("id"))
	}
	for _, name := range c.words("organization") {
		add(name, "")
	}
	if len(found) == 0 {
		add(cmp.Or(c.text("org_name"), c.text("org_id")), c.text("org_id"))
	}
	return found
}

// scopes answers the scopes of all claims that are in use for them, each once.
func (c claims) scopes() []string {
	all := slices.Concat(c.words("scope"), c.words("scp"), c.words("scopes"))
	slices.Sort(all)
	return slices.Compact(all)
}

// text answers a claim that is a string.
func (c claims) text(name string) string {
	var text string
	_ = json.Unmarshal(c[name], &text) // another form, or none: empty
	return text
}

// object answers the members of a claim that is an object.
func (c claims) object(name string) claims {
	var members claims
	_ = json.Unmarshal(c[name], &members) // another form, or none: empty
	return members
}

// words answers the words of a claim that is a string or a list of strings. Other members of the list are passed over.
func (c claims) words(name string) []string {
	words := strings.Fields(c.text(name))
	var list []json.RawMessage
	_ = json.Unmarshal(c[name], &list) // another form, or none: empty
	for _, member := range list {
		words = append(words, strings.Fields(claims{name: member}.text(name))...)
	}
	return words
}
