package pod_test

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"dodil.io/ignite/engine/pod"
)

func TestEnvelopeValidate(t *testing.T) {
	t.Parallel()
	header := func(name string, values ...string) pod.Envelope {
		return pod.Envelope{Header: http.Header{name: values}}
	}
	for _, test := range []struct {
		name     string
		envelope pod.Envelope
		field    string
	}{
		{"zero", pod.Envelope{}, ""},
		{"full", pod.Envelope{Method: "GET", Path: "//a/%2F;|", Query: "a=%&b", Header: http.Header{"A": {"", "\xff\t"}}}, ""},
		{"verb of two words", pod.Envelope{Method: "GET /"}, "method"},
		{"verb with line end", pod.Envelope{Method: "GET\r\n"}, "method"},
		{"tunnel", pod.Envelope{Method: "CONNECT"}, "method"},
		{"relative path", pod.Envelope{Path: "a"}, "path"},
		{"whole URL", pod.Envelope{Path: "http://a/"}, "path"},
		{"asterisk", pod.Envelope{Method: "OPTIONS", Path: "*"}, "path"},
		{"query in path", pod.Envelope{Path: "/a?b"}, "path"},
		{"fragment in path", pod.Envelope{Path: "/a#b"}, "path"},
		{"space in path", pod.Envelope{Path: "/a b"}, "path"},
		{"line end in path", pod.Envelope{Path: "/a\r\nX: y"}, "path"},
		{"bad encoding in path", pod.Envelope{Path: "/%zz"}, "path"},
		{"space in query", pod.Envelope{Query: "a b"}, "query"},
		{"line end in query", pod.Envelope{Query: "a\n"}, "query"},
		{"fragment in query", pod.Envelope{Query: "a#b"}, "query"},
		{"empty header name", header("", "a"), "headers"},
		{"colon in header name", header("A:b", "a"), "headers"},
		{"line end in header value", header("A", "ok", "a\r\nb"), "headers"},
		{"zero byte in header value", header("A", "\x00"), "headers"},
		{"two hosts", header("host", "a", "b"), "headers"},
		{"odd host", header("Host", "a b"), "headers"},
		{"host that cannot be encoded", header("Host", "\xff"), "headers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.envelope.Validate()
			if test.field == "" && err != nil || test.field != "" && !isEnvelopeError(err, test.field) {
				t.Errorf("got %v, want a fault of %q", err, test.field)
			}
		})
	}
}

func TestHeadRoundTrip(t *testing.T) {
	t.Parallel()
	head := pod.Head{
		Envelope: pod.Envelope{
			Method: "PUT", Path: "//a%2F<&>", Query: "q=ü", ForceQuery: true,
			Header: http.Header{"Accept": {"a", "b"}, "x-lower": {""}},
		},
		Identity: pod.Identity{ExecutionID: "exec_1", FunctionID: "o/a", OrganizationID: "o", Attempt: 3},
		Object:   "request.exec_1",
	}
	data, err := pod.EncodeHead(head)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pod.DecodeHead(data)
	if err != nil {
		t.Fatal(err)
	}
	head.Identity.Attempt = 0 // belongs to a run, not to what waits
	if !reflect.DeepEqual(got, head) {
		t.Errorf("got %+v, want %+v", got, head)
	}
}

func TestEncodeHeadRefusesWhatJSONWouldChange(t *testing.T) {
	t.Parallel()
	for field, envelope := range map[string]pod.Envelope{
		"path":    {Path: "/\xff"},
		"query":   {Query: "\xff"},
		"headers": {Header: http.Header{"A": {"\xff"}}},
	} {
		if _, err := pod.EncodeHead(pod.Head{Envelope: envelope}); !isEnvelopeError(err, field) {
			t.Errorf("%s: got %v, want an EnvelopeError", field, err)
		}
	}
}

func TestDecodeHeadRefuses(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "null junk", "[]", `{"envelope":{"path":"a"}}`, `{"envelope":{"header":{"A":["\n"]}}}`} {
		if head, err := pod.DecodeHead([]byte(data)); err == nil {
			t.Errorf("%q was decoded to %+v", data, head)
		}
	}
}

func FuzzDecodeHead(f *testing.F) {
	f.Add([]byte(`{"envelope":{"method":"GET","path":"/a","header":{"A":["b","c"]}},"identity":{"execution_id":"e"},"object":"o"}`))
	f.Add([]byte(`{"envelope":{"path":"//%2f","query":"\u00fc","force_query":true}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		head, err := pod.DecodeHead(data)
		if err != nil {
			return
		}
		again, err := pod.EncodeHead(head)
		if err != nil {
			t.Fatalf("%+v was decoded but cannot be encoded: %v", head, err)
		}
		got, err := pod.DecodeHead(again)
		if err != nil {
			t.Fatalf("%s was encoded but cannot be decoded: %v", again, err)
		}
		if len(head.Envelope.Header) == 0 {
			head.Envelope.Header = nil // {} is written like a header that is absent
		}
		if !reflect.DeepEqual(got, head) {
			t.Fatalf("%+v came back as %+v", head, got)
		}
	})
}

// FuzzRequestOnTheWire holds that whatever Validate lets through is one request whose line and header are those given.
func FuzzRequestOnTheWire(f *testing.F) {
	f.Add("GET", "/a%2Fb", "x=1", true, "A", "b", "host")
	f.Add("", "//a/..;b", "", true, "X_Ignite-attempt", "9", "")
	f.Add("get", "", "\xff?", false, "Connection", "A", "a:1")
	f.Fuzz(func(t *testing.T, method, path, query string, forceQuery bool, name, value, host string) {
		envelope := pod.Envelope{
			Method: method, Path: path, Query: query, ForceQuery: forceQuery,
			Header: http.Header{name: {value}, "hOST": {host}},
		}
		if envelope.Validate() != nil {
			return
		}
		written, err := pod.Wire(pod.Request{Envelope: envelope})
		if err != nil {
			t.Fatalf("%+v is valid but: %v", envelope, err)
		}
		head, rest, _ := bytes.Cut(written, []byte("\r\n\r\n"))
		lines := strings.Split(string(head), "\r\n")
		if len(rest) > 0 || len(lines) > 10 {
			t.Fatalf("%+v became %q", envelope, written)
		}
		if want := requestLine(envelope); want != lines[0] && !strings.HasPrefix(path, "//") {
			t.Fatalf("request line %q, want %q", lines[0], want)
		}
		identities := 0
		for _, line := range lines {
			if strings.HasPrefix(strings.ReplaceAll(strings.ToLower(line), "_", "-"), "x-ignite-attempt:") {
				identities++
			}
		}
		if identities != 1 {
			t.Fatalf("%d attempts in %q", identities, written)
		}
	})
}

func requestLine(e pod.Envelope) string {
	line := e.Method
	if line == "" {
		line = "POST"
	}
	line += " " + e.Path
	if e.Path == "" {
		line += "/"
	}
	if e.Query != "" || e.ForceQuery {
		line += "?" + e.Query
	}
	return line + " HTTP/1.1"
}
