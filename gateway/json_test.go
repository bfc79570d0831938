package gateway

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func FuzzInvokeJSON(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `{"body":"AA=="}`, `{"http":{"method":"HTTP_METHOD_GET","headers":{"a":"b"}}}`, `{"header_fields":1}`, `{"body":"%"}`, `{} {}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var request, again ignitev1.InvokeRequest
		if err := readJSON(bytes.NewReader(text), &request); err != nil {
			wantReadableFault(t, err)
			return
		}
		written, err := encoding.Marshal(&request)
		if err != nil {
			t.Fatalf("%q was read as %v, which cannot be written: %v", text, &request, err)
		}
		if err := readJSON(bytes.NewReader(written), &again); err != nil || !proto.Equal(&request, &again) {
			t.Errorf("%q was read as %v, and its own writing as %v, %v", text, &request, &again, err)
		}
		// What may be called is decided without a panic, whatever it is.
		_, _ = newEnvelope(request.GetHttp())
	})
}

func wantReadableFault(t *testing.T, err error) {
	t.Helper()
	found, known := faultOf(err)
	if !known || found.code != codes.InvalidArgument || len(found.message) > 1000 || !utf8.ValidString(found.message) {
		t.Errorf("fault is %+v", found)
	}
	if strings.Contains(found.message, "\u00a0") {
		t.Errorf("message %q has the space that protojson varies", found.message)
	}
}
