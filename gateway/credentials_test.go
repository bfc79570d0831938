package gateway_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const secret = "sesame-open"

// withSecrets is a request with credentials in every place and spelling that there is.
func withSecrets(body []byte) *ignitev1.InvokeRequest {
	return &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello", Body: body, Http: &ignitev1.HttpContext{
		Headers: map[string]string{"authorization": "Basic " + secret, "COOKIE": secret, "Proxy-authorization": secret, "x-mine": "kept"},
		HeaderFields: []*ignitev1.HeaderField{
			{Name: "Authorization", Value: "Bearer " + secret}, {Name: "aUTHORIZATION", Value: secret}, {Name: "cookie", Value: "a=" + secret},
			{Name: "Cookie", Value: "b=" + secret}, {Name: "pROXY-aUTHORIZATION", Value: secret},
		},
	}}
}

// Nothing that opens a door is stored, whatever way it came in and wherever the request goes.
func TestCredentialsAreNeverStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	kept := 0
	submit := func(r *ignitev1.InvokeRequest) {
		kept++
		s.submit(t, r)
	}
	submit(withSecrets(nil))
	submit(withSecrets(make([]byte, store.MaxInline+1)))
	keyed, delayed := withSecrets(nil), withSecrets(nil)
	keyed.IdempotencyKey, delayed.Delay = "k", durationpb.New(3600e9)
	submit(keyed)
	submit(delayed)
	s.submitHTTP(t, string(must(marshal(withSecrets(nil)))), func(r *http.Request) {
		r.Header.Set("Cookie", secret)
		r.Header.Set("Proxy-Authorization", secret)
	})
	for _, result := range s.submitBatch(t, batchOf(withSecrets(nil), withSecrets(nil))) {
		if result.GetError() != nil {
			t.Fatal(result)
		}
	}
	old := s.endNext(t, ref, store.Timeout)
	if _, err := s.redrive(t, "acme", old.ID); err != nil {
		t.Fatal(err)
	}
	found := s.search(t, secret, "kept")
	if found[secret] != 0 || found["kept"] < kept {
		t.Errorf("%d messages hold a credential, and %d the header that is kept", found[secret], found["kept"])
	}
	if token := s.token("acme"); s.search(t, token)[token] != 0 {
		t.Error("the caller's token is stored")
	}
}

// search counts the messages of all streams that hold a word, in their data or headers.
func (s *setup) search(t testing.TB, words ...string) map[string]int {
	t.Helper()
	js := must(jetstream.New(s.nats))
	found := map[string]int{}
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		stored := must(js.Stream(t.Context(), name))
		state := stored.CachedInfo().State
		for sequence := max(state.FirstSeq, 1); sequence <= state.LastSeq; sequence++ {
			message, err := stored.GetMsg(t.Context(), sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			var header bytes.Buffer
			_ = http.Header(message.Header).Write(&header) // a buffer takes all
			for _, word := range words {
				if bytes.Contains(message.Data, []byte(word)) || bytes.Contains(header.Bytes(), []byte(word)) {
					found[word]++
				}
			}
		}
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
