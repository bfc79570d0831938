package main

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// appRef names an app.
type appRef struct {
	org, name string
}

func (a appRef) String() string { return a.org + ":" + a.name }

// validName is the server's rule for organizations and apps: 1 to 63 of a-z, 0-9, "-" and ".", beginning and ending
// with a letter or digit.
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// parseApp reads ORG:APP, ORG/APP or APP; org is empty in the last case.
func parseApp(id string) (appRef, error) {
	org, name := "", id
	if i := strings.IndexAny(id, ":/"); i >= 0 {
		org, name = id[:i], id[i+1:]
		if !validName.MatchString(org) {
			return appRef{}, invalidName("organization", org)
		}
	}
	if !validName.MatchString(name) {
		return appRef{}, invalidName("app", name)
	}
	return appRef{org: org, name: name}, nil
}

func invalidName(what, name string) error {
	return usagef("%q cannot be the name of an %s: 1 to 63 of a-z, 0-9, \"-\" and \".\" are allowed, "+
		"beginning and ending with a letter or digit", name, what)
}

// app reads the name of an app and fills in its organization.
func (c *client) app(id string) (appRef, error) {
	app, err := parseApp(id)
	if err != nil || app.org != "" {
		return app, err
	}
	app.org, err = c.organization()
	return app, err
}

// organization is the one to use when a command names none.
func (c *client) organization() (string, error) {
	known, err := c.knownOrganization()
	if err == nil && known == "" {
		err = usagef("no organization is known: name the app ORG:APP, or set one with --org, IGNITE_ORG_NAME " +
			"or `ignite config set org ORG`")
	}
	return known, err
}

// knownOrganization is organization where the server can do without: it is empty if nothing says which.
func (c *client) knownOrganization() (string, error) {
	current, err := c.settings()
	if err != nil {
		return "", err
	}
	claims := readClaims(current.token.value)
	switch known := claims.organizations(); {
	case current.org.value != "":
		return checkOrganization(current.org.value)
	case current.orgID.value != "":
		return organizationByID(known, current.orgID.value)
	case len(known) == 1:
		return checkOrganization(slices.Collect(maps.Keys(known))[0])
	case len(known) > 1:
		names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
		return "", usagef("the token is good for several organizations (%s): say which, as ORG:APP or with --org", names)
	}
	return "", nil
}

func checkOrganization(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", invalidName("organization", name)
	}
	return name, nil
}

func organizationByID(known map[string]string, id string) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if known[name] == id {
			return checkOrganization(name)
		}
	}
	return "", usagef("the token knows no organization with the id %q: set its name with `ignite config set org ORG`", id)
}

// tokenClaims are the parts of a token that name organizations. The client reads them only to spare its user a flag: it
// cannot check the signature, and the server does not rely on it.
type tokenClaims struct {
	Organization json.RawMessage `json:"organization"`
	OrgID        string          `json:"org_id"`
	OrgName      string          `json:"org_name"`
}

// readClaims returns what a JSON web token says, and nothing for a token of another kind.
func readClaims(token string) tokenClaims {
	var claims tokenClaims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return tokenClaims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return tokenClaims{}
	}
	return claims
}

// organizations are the names in the token, each with its id.
func (t tokenClaims) organizations() map[string]string {
	var byName map[string]struct {
		ID string `json:"id"`
	}
	known := make(map[string]string)
	if json.Unmarshal(t.Organization, &byName) == nil {
		for name, organization := range byName {
			known[name] = organization.ID
		}
	}
	if len(known) == 0 && t.OrgName != "" {
		known[t.OrgName] = t.OrgID
	}
	return known
}

// parsePairs reads K=V arguments; a later one of the same name wins.
func parsePairs(flag string, arguments []string) (map[string]string, error) {
	pairs := make(map[string]string, len(arguments))
	for _, argument := range arguments {
		name, value, ok := strings.Cut(argument, "=")
		if !ok || name == "" {
			return nil, usagef("--%s %q is not of the form NAME=VALUE", flag, argument)
		}
		pairs[name] = value
	}
	return pairs, nil
}

// parseEnum finds the value of an enum by the part of its name after prefix, in any case.
func parseEnum(flag, text, prefix string, values map[string]int32) (int32, error) {
	if value, ok := values[prefix+strings.ToUpper(text)]; ok && value != 0 {
		return value, nil
	}
	return 0, usagef("--%s %q is none of %s", flag, text, strings.Join(enumChoices(prefix, values), ", "))
}

// enumChoices lists what parseEnum takes, in the order of the enum.
func enumChoices(prefix string, values map[string]int32) []string {
	var choices []string
	byValue := func(a, b string) int { return int(values[a] - values[b]) }
	for _, name := range slices.SortedFunc(maps.Keys(values), byValue) {
		if values[name] != 0 {
			choices = append(choices, shortEnum(name, prefix))
		}
	}
	return choices
}

// shortEnum is an enum's value as people write it: RESOURCE_TIER_SMALL is "small".
func shortEnum(name, prefix string) string {
	short := strings.ToLower(strings.TrimPrefix(name, prefix))
	if short == "unspecified" {
		return ""
	}
	return short
}
