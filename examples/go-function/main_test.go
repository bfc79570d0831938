package main

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	ignite "dodil.io/ignite/sdk/go"
)

func TestCount(t *testing.T) {
	t.Parallel()
	got, err := count([]byte("To be or\nnot to be"), &ignite.Context{ExecutionID: "exec_1"})
	const want = `{"words":6,"longest":"not","counts":{"be":2,"not":1,"or":1,"to":2},"execution_id":"exec_1"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := count([]byte(" \n"), &ignite.Context{}); !errors.Is(err, errEmpty) {
		t.Errorf("of nothing: %v", err)
	}
}

// As a caller sees it, without a server.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"one": `"longest":"one"`, "": `{"error":"send a text to count the words of"}`} {
		recorder := httptest.NewRecorder()
		ignite.Handler(count).ServeHTTP(recorder, httptest.NewRequest("POST", "/", strings.NewReader(body)))
		if !strings.Contains(recorder.Body.String(), want) {
			t.Errorf("%q is answered %d %s", body, recorder.Code, recorder.Body)
		}
	}
}
