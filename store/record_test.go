package store

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func FuzzExecutionRecord(f *testing.F) {
	f.Add("exec_x", "acme", "message", "text/plain", []byte("result"))
	f.Add("a\nb", "\n", "<&>\u2028", "\xff", []byte("\n\n"))
	f.Add("", "", "", "", []byte{})
	f.Fuzz(func(t *testing.T, id, org, message, header string, result []byte) {
		for _, text := range []string{id, org, message, header} {
			if !utf8.ValidString(text) {
				return // JSON cannot say it, and neither can the wire.
			}
		}
		e := Execution{
			ID: id, Org: org, Status: Running, Attempt: 2, Result: result,
			Error:          &ExecutionError{Message: message},
			ResponseHeader: map[string][]string{"Content-Type": {header}},
		}
		record, err := encodeExecution(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeExecution(record)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Result, result) {
			t.Errorf("result came back as %q, was %q", got.Result, result)
		}
		if got.stored != (state{Running, 2}) {
			t.Errorf("state came back as %+v", got.stored)
		}
		again, err := encodeExecution(got)
		if err != nil || !bytes.Equal(again, record) {
			t.Errorf("record came back as %q, %v; was %q", again, err, record)
		}
	})
}

func FuzzDecodeExecution(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte("{}"))
	f.Add([]byte("{\"status\":1}\nx"))
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := decodeExecution(record)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(record, e.Result) {
			t.Errorf("result %q is not the end of %q", e.Result, record)
		}
	})
}
