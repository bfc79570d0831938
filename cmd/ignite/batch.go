package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	maxBatch      = 1000    // calls of one request
	maxBatchBytes = 8 << 20 // bytes of one request, unless a single call is larger; servers take 64 MiB unless told otherwise
)

// batch submits the calls of a file, as many with one request as it may hold, and prints what became of each as soon as
// it is known: a run that is cut off has said what it submitted.
type batch struct {
	client   *client
	conn     *connection
	app      appRef
	defaults *ignitev1.InvokeRequest
	key      string // of this run; a call without a key gets it with its line's number

	pending  []entry
	bytes    int
	accepted int
	refused  map[codes.Code]int
}

// entry is a line of the file that holds a call.
type entry struct {
	line    int
	request *ignitev1.InvokeRequest
}

// submitBatch submits every line of a file. Lines that are refused do not hold up the others.
func (c *client) submitBatch(
	ctx context.Context, conn *connection, app appRef, file string, defaults *ignitev1.InvokeRequest,
) error {
	source, err := c.openBatch(file)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // opened for reading only
	b := &batch{client: c, conn: conn, app: app, defaults: defaults, key: newKey(), refused: make(map[codes.Code]int)}
	if c.tables() {
		if err := c.write(fmt.Sprintf(batchRow, "LINE", "EXECUTION", "ERROR") + "\n"); err != nil {
			return err
		}
	}
	if err := b.submitAll(ctx, source); err != nil {
		return err
	}
	return b.conclude()
}

func (c *client) openBatch(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(c.stdin), nil
	}
	opened, err := os.Open(file)
	if err != nil {
		return nil, usagef("read the batch: %w", err)
	}
	return opened, nil
}

func (b *batch) submitAll(ctx context.Context, source io.Reader) error {
	number := 0
	for line, err := range lines(ctx, source) {
		if err != nil {
			return errors.Join(b.flush(ctx), fmt.Errorf("read the batch: %w", err))
		}
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := b.add(ctx, number, line); err != nil {
			return err
		}
	}
	return b.flush(ctx)
}

// add takes a line, and submits what came before if both do not fit into one request.
func (b *batch) add(ctx context.Context, number int, line []byte) error {
	request, err := parseCall(line, b.defaults)
	if err != nil {
		if err := b.flush(ctx); err != nil { // so that lines are told in their order
			return err
		}
		return b.tell(number, "", codes.InvalidArgument, err.Error())
	}
	if request.GetIdempotencyKey() == "" {
		request.IdempotencyKey = fmt.Sprintf("%s-%d", b.key, number)
	}
	size := proto.Size(request)
	if len(b.pending) == maxBatch || b.bytes+size > maxBatchBytes {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.pending, b.bytes = append(b.pending, entry{number, request}), b.bytes+size
	return nil
}

// flush submits what was taken and tells what became of it.
func (b *batch) flush(ctx context.Context) error {
	if len(b.pending) == 0 {
		return nil
	}
	entries := b.pending
	b.pending, b.bytes = nil, 0
	results, failure := b.submit(ctx, entries)
	for i, result := range results {
		refusal := result.GetError()
		if err := b.tell(entries[i].line, result.GetExecutionId(), codes.Code(refusal.GetCode()), refusal.GetMessage()); err != nil {
			return err
		}
	}
	if failure != nil {
		return fmt.Errorf("submit lines %d to %d to %s: %w", entries[0].line, entries[len(entries)-1].line, b.app, failure)
	}
	return nil
}

// submit returns a result for each entry, in their order. Calls that the server has no room for now are submitted again when it
// says; if that fails as a whole, the results are those from before.
func (b *batch) submit(ctx context.Context, entries []entry) (results []*ignitev1.InvokeAsyncResult, err error) {
	open := make([]int, len(entries)) // indices of the entries that wait for a result
	for i := range open {
		open[i] = i
	}
	for repeats := 0; ; repeats++ {
		answers, err := b.ask(ctx, entries, open)
		if err != nil {
			return results, err
		}
		if results == nil {
			results = make([]*ignitev1.InvokeAsyncResult, len(entries))
		}
		again, pause := settle(results, open, answers)
		if len(again) == 0 || repeats == hintedRepeats ||
			!b.client.bide(ctx, pause, fmt.Errorf("%d calls were refused for now", len(again))) {
			return results, nil
		}
		open = again
	}
}

func (b *batch) ask(ctx context.Context, entries []entry, open []int) ([]*ignitev1.InvokeAsyncResult, error) {
	request := &ignitev1.InvokeAsyncBatchRequest{OrganizationName: b.app.org, AppName: b.app.name}
	for _, i := range open {
		request.Requests = append(request.Requests, entries[i].request)
	}
	answer, err := ask(ctx, b.conn, ignitev1.ComputeServiceClient.InvokeAsyncBatch, request)
	if err != nil {
		return nil, err
	}
	if len(answer.GetResults()) != len(open) {
		return nil, fmt.Errorf("the server answered %d results for %d calls", len(answer.GetResults()), len(open))
	}
	return answer.GetResults(), nil
}

// settle notes the answers for the open entries, and returns those that are worth another try, and when.
func settle(results []*ignitev1.InvokeAsyncResult, open []int, answers []*ignitev1.InvokeAsyncResult) (again []int, pause time.Duration) {
	for j, answer := range answers {
		results[open[j]] = answer
		if hint, worth := worthRepeating(refusalError(answer.GetError())); worth && hint > 0 {
			again, pause = append(again, open[j]), max(pause, hint)
		}
	}
	return again, pause
}

// refusalError is the refusal of one entry in the form of a refused request.
func refusalError(refusal *ignitev1.BatchError) error {
	if refusal == nil {
		return nil
	}
	bare := status.New(codes.Code(refusal.GetCode()), refusal.GetMessage())
	if refusal.GetRetryAfterMs() <= 0 {
		return bare.Err()
	}
	delay := durationpb.New(time.Duration(refusal.GetRetryAfterMs()) * time.Millisecond)
	hinted, err := bare.WithDetails(&errdetails.RetryInfo{RetryDelay: delay})
	if err != nil { // a refusal with the code OK is none
		return bare.Err()
	}
	return hinted.Err()
}

// batchRow has a place for an id, so that rows can be printed before all are known.
const batchRow = "%-8v%-34s%s"

// batchLine is a row for programs.
type batchLine struct {
	Line        int           `json:"line"`
	ExecutionID string        `json:"executionId,omitempty"`
	Error       *batchRefusal `json:"error,omitempty"`
}

type batchRefusal struct {
	Code    codes.Code `json:"code"`
	Message string     `json:"message"`
}

// tell prints what became of a line, and counts it.
func (b *batch) tell(line int, id string, code codes.Code, refusal string) error {
	row := batchLine{Line: line, ExecutionID: id}
	if code == codes.OK {
		b.accepted++
	} else {
		b.refused[code]++
		row.Error = &batchRefusal{Code: code, Message: refusal}
	}
	if !b.client.tables() {
		return b.client.printEventValue(row)
	}
	text := fmt.Sprintf(batchRow, line, cmp.Or(id, "-"), strings.ReplaceAll(refusal, "\n", " "))
	return b.client.write(strings.TrimRight(printable(text), " ") + "\n")
}

// conclude returns nil if every line was accepted. The exit code is that of the refusals, if they agree on one.
func (b *batch) conclude() error {
	refused := 0
	for _, n := range b.refused {
		refused += n
	}
	if refused == 0 {
		b.client.tell("Submitted %d calls to %s", b.accepted, b.app)
		return nil
	}
	code := codes.Unknown
	if len(b.refused) == 1 {
		code = slices.Collect(maps.Keys(b.refused))[0]
	}
	return status.Errorf(code, "%d of %d calls to %s were refused", refused, refused+b.accepted, b.app)
}
