package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// submitFlags say how a call is submitted and what is done then.
type submitFlags struct {
	async, watch   bool
	wait           time.Duration
	batch          string
	idempotencyKey string
	delay          time.Duration
	notBefore      string
	retry          retryFlags
}

func (s *submitFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVar(&s.async, "async", false, "submit the call, print the execution's id and leave")
	flags.BoolVar(&s.watch, "watch", false, "submit the call and follow its execution (--async is implied)")
	flags.DurationVar(&s.wait, "wait", 0, "submit the call, wait that long for its end and show the execution (--async is implied)")
	flags.StringVar(&s.batch, "batch", "", "`FILE` of calls to submit, one JSON object a line, - for standard input (--async is implied)")
	flags.StringVar(&s.idempotencyKey, "idempotency-key", "", "submit the same call with the same `KEY` only once (default one of its own)")
	flags.DurationVar(&s.delay, "delay", 0, "let the execution begin not before that time has passed")
	flags.StringVar(&s.notBefore, "not-before", "", "let the execution begin not before `TIME`, in the form of RFC 3339")
	s.retry.register(command)
	for _, alone := range []string{"payload", "payload-file", "method", "path", "query", "header", "idempotency-key", "watch", "wait", "include"} {
		command.MarkFlagsMutuallyExclusive("batch", alone)
	}
	command.MarkFlagsMutuallyExclusive("watch", "wait")
	command.MarkFlagsMutuallyExclusive("delay", "not-before")
}

// wanted says whether the call is to be submitted.
func (s *submitFlags) wanted() bool { return s.async || s.watch || s.wait > 0 || s.batch != "" }

// apply puts into request when it is to begin, and its retry policy. Flags that say something about submissions only are
// refused if there is none.
func (s *submitFlags) apply(request *ignitev1.InvokeRequest, command *cobra.Command) error {
	for _, flag := range append([]string{"idempotency-key", "delay", "not-before"}, retryFlagNames...) {
		if !s.wanted() && command.Flags().Changed(flag) {
			return usagef("--%s is for calls that are submitted: give --async with it", flag)
		}
	}
	switch {
	case s.wait < 0:
		return usagef("--wait %s is negative", s.wait)
	case s.delay < 0:
		return usagef("--delay %s is negative", s.delay)
	case s.delay > 0:
		request.Delay = durationpb.New(s.delay)
	case s.notBefore != "":
		instant, err := time.Parse(time.RFC3339, s.notBefore)
		if err != nil {
			return usagef("--not-before %q is no time such as 2006-01-02T15:04:05Z", s.notBefore)
		}
		request.NotBefore = timestamppb.New(instant)
	}
	var err error
	request.Retry, err = s.retry.policy(command)
	return err
}

// submit submits the call and prints the execution's id, follows the execution, or waits for its end. It makes up a key
// if there is none, so that a submission whose answer was lost can be repeated without running twice.
func (c *client) submit(
	ctx context.Context, conn *connection, app appRef, request *ignitev1.InvokeRequest, flags *submitFlags,
) error {
	request.IdempotencyKey = flags.idempotencyKey
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = newKey()
	}
	answer, err := ask(ctx, conn, ignitev1.ComputeServiceClient.InvokeAsync, request)
	if err != nil {
		return fmt.Errorf("submit to %s: %w", app, err)
	}
	id := answer.GetExecutionId()
	switch {
	case flags.watch:
		c.tell("Submitted %s", id)
		return c.watchExecution(ctx, conn, id, position{})
	case flags.wait > 0:
		c.tell("Submitted %s", id)
		return c.showEnd(ctx, conn, id, flags.wait)
	}
	return c.print(answer, func() string { return id + "\n" })
}

// newKey is an idempotency key that nobody else has.
func newKey() string { return "ignite-" + rand.Text() }

// showEnd waits for the end of an execution, shows it, and returns nil only if it completed.
func (c *client) showEnd(ctx context.Context, conn *connection, id string, wait time.Duration) error {
	answer, err := c.awaitExecution(ctx, conn, id, wait)
	if err != nil {
		c.tell("The execution goes on; read it with `ignite execution get %s`.", id)
		return fmt.Errorf("get execution %s: %w", id, err)
	}
	execution := answer.GetExecution()
	if err := c.print(answer, func() string { return executionTable(execution) }); err != nil {
		return err
	}
	if !terminal(execution) {
		return status.Errorf(codes.DeadlineExceeded, "execution %s has not ended within %s; it goes on", id, wait)
	}
	return outcome(execution)
}
