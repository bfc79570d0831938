package main

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// answerCopy brings the frames of an answer to the user.
type answerCopy struct {
	client  *client
	include bool
	began   func() // called with the first frame
	write   func(data []byte) error
	status  int
	ended   bool
}

func (a *answerCopy) copyFrom(stream grpc.ServerStreamingClient[ignitev1.InvokeResponse]) error {
	for {
		frame, err := stream.Recv()
		a.began()
		if errors.Is(err, io.EOF) {
			if !a.ended {
				return errors.New("the answer ended without its trailer: it may be incomplete")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.take(frame); err != nil {
			return err
		}
	}
}

func (a *answerCopy) take(frame *ignitev1.InvokeResponse) error {
	switch {
	case frame.GetHead() != nil:
		a.status = int(frame.GetHead().GetStatusCode())
		a.showHead(frame.GetHead())
	case frame.GetChunk() != nil:
		return a.write(frame.GetChunk().GetData())
	case frame.GetTrailer() != nil:
		a.ended = true
		a.showTrailer(frame.GetTrailer())
	}
	return nil
}

func (a *answerCopy) showHead(head *ignitev1.InvokeHead) {
	if !a.include {
		return
	}
	a.client.tell("HTTP %d %s", a.status, http.StatusText(a.status))
	for _, line := range headLines(head) {
		a.client.tell("%s", line)
	}
	a.client.tell("X-Ignite-Execution-Id: %s\n", head.GetExecutionId())
}

// headLines are the headers of an answer; servers that tell them only by name are understood too.
func headLines(head *ignitev1.InvokeHead) []string {
	fields := head.GetResponseHeaderFields()
	if len(fields) == 0 {
		return mapLines(head.GetResponseHeaders())
	}
	lines := make([]string, len(fields))
	for i, field := range fields {
		lines[i] = field.GetName() + ": " + field.GetValue()
	}
	return lines
}

func mapLines(values map[string]string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, name+": "+values[name])
	}
	return lines
}

func (a *answerCopy) showTrailer(trailer *ignitev1.InvokeTrailer) {
	if !a.include {
		return
	}
	for _, line := range mapLines(trailer.GetTrailers()) {
		a.client.tell("%s", line)
	}
	a.client.tell("\n%d bytes in %s", trailer.GetTotalBodyBytes(), span(trailer.GetDurationMs()))
}
