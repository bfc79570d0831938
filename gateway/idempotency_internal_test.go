package gateway

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// A key that is taken is the one that was given, everywhere, and holds nothing that could be taken for the rest of a key of ours.
func FuzzAgreedKey(f *testing.F) {
	f.Add("", "k", "k")
	f.Add("k", "k", "l")
	f.Add("a b", "a b", "a b")
	f.Fuzz(func(t *testing.T, field, first, second string) {
		key, err := agreedKey(field, []string{first, second})
		if err != nil {
			return
		}
		if key != first || key != second || field != "" && key != field || key == "" || len(key) > maxKey || strings.ContainsAny(key, " \n") {
			t.Errorf("%q, %q and %q agree on %q", field, first, second, key)
		}
	})
}

// Two requests have the same fingerprint if they are the same, and else not, wherever a byte of one is moved to.
func FuzzFingerprint(f *testing.F) {
	f.Add("/p", "q", "name", "value", []byte("body"), "/p", "q", "name", "value", []byte("body"))
	f.Add("/p", "qb", "a", "v", []byte("ody"), "/p", "q", "a", "v", []byte("body"))
	f.Fuzz(func(t *testing.T, path1, query1, name1, value1 string, body1 []byte, path2, query2, name2, value2 string, body2 []byte) {
		one := request(path1, query1, name1, value1, body1)
		two := request(path2, query2, name2, value2, body2)
		print1, ok1 := printOf(t, one)
		print2, ok2 := printOf(t, two)
		if !ok1 || !ok2 {
			return
		}
		one.Http.HeaderFields[0].Name, two.Http.HeaderFields[0].Name = strings.ToLower(name1), strings.ToLower(name2)
		if same := proto.Equal(one, two); same != (print1 == print2) {
			t.Errorf("%v and %v are the same: %v, and have the same fingerprint: %v", one, two, same, print1 == print2)
		}
	})
}

func request(path, query, name, value string, body []byte) *ignitev1.InvokeRequest {
	return &ignitev1.InvokeRequest{Body: body, Http: &ignitev1.HttpContext{
		Path: path, Query: query, HeaderFields: []*ignitev1.HeaderField{{Name: name, Value: value}},
	}}
}

// printOf answers a fingerprint, and false for a request that could not be submitted or whose header is not kept.
func printOf(t *testing.T, r *ignitev1.InvokeRequest) (string, bool) {
	envelope, err := newEnvelope(r.GetHttp())
	if err != nil {
		return "", false
	}
	stripCredentials(envelope.Header)
	if _, err := pod.EncodeHead(pod.Head{Envelope: envelope}); err != nil || len(envelope.Header) != 1 {
		return "", false
	}
	sum, err := fingerprint(submission{call: call{envelope: envelope, body: r.GetBody()}}, r)
	if err != nil {
		t.Fatal(err)
	}
	return sum, true
}
