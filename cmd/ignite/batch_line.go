package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// lines are the lines of source, and at last an error if it could not be read to its end. A read from a terminal cannot be
// interrupted, so when ctx ends the reader may stay behind; it ends with the process, which is about to.
func lines(ctx context.Context, source io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		scanned, left := make(chan []byte), make(chan struct{})
		defer close(left)
		var failed error // written before scanned is closed, read after
		go func() {
			defer close(scanned)
			scanner := bufio.NewScanner(source)
			scanner.Buffer(nil, maxMessage)
			for scanner.Scan() {
				select {
				case scanned <- bytes.Clone(scanner.Bytes()):
				case <-left:
					return
				}
			}
			failed = scanner.Err()
		}()
		for {
			select {
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			case line, more := <-scanned:
				if !more {
					if failed != nil {
						yield(nil, failed)
					}
					return
				}
				if !yield(line, nil) {
					return
				}
			}
		}
	}
}

// parseCall reads a call as the HTTP API takes one, or with "payload" in place of "body": any JSON, sent as it stands.
// What it does not say of its time and its retries is taken from defaults.
func parseCall(line []byte, defaults *ignitev1.InvokeRequest) (*ignitev1.InvokeRequest, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, fmt.Errorf("the line is no JSON object: %w", err)
	}
	payload, given := fields["payload"]
	if given {
		delete(fields, "payload")
		var err error
		if line, err = json.Marshal(fields); err != nil {
			return nil, fmt.Errorf("read the call: %w", err)
		}
	}
	request := &ignitev1.InvokeRequest{}
	if err := protojson.Unmarshal(line, request); err != nil {
		return nil, fmt.Errorf("the line is no call: %w", err)
	}
	if given {
		if len(request.Body) > 0 {
			return nil, errors.New("the line has body and payload: give one of them")
		}
		setPayload(request, payload)
	}
	if request.Delay == nil && request.NotBefore == nil {
		request.Delay, request.NotBefore = defaults.GetDelay(), defaults.GetNotBefore()
	}
	if request.Retry == nil {
		request.Retry = defaults.GetRetry()
	}
	return request, nil
}

// setPayload makes JSON the body of a call.
func setPayload(request *ignitev1.InvokeRequest, payload []byte) {
	request.Body = payload
	if request.Http == nil {
		request.Http = &ignitev1.HttpContext{}
	}
	named := slices.ContainsFunc(slices.Collect(maps.Keys(request.Http.GetHeaders())), isContentType)
	if !named && !hasContentType(request.Http.GetHeaderFields()) {
		request.Http.HeaderFields = append(request.Http.HeaderFields, jsonContent())
	}
}
