package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// deadFlags choose dead letters by a filter.
type deadFlags struct {
	filter filterFlags
	limit  uint32
	yes    bool
}

func (d *deadFlags) register(command *cobra.Command, verb string) {
	d.filter.register(command)
	command.Flags().Uint32Var(&d.limit, "limit", 0, "at most this many, the newest (0 = all)")
	command.Flags().BoolVarP(&d.yes, "yes", "y", false, verb+" what fits the filter without asking")
}

// refuseBeside is for IDs: they say all there is to say. The organization may come from anywhere.
func (d *deadFlags) refuseBeside(command *cobra.Command) error {
	for _, flag := range append([]string{"limit"}, filterFlagNames...) {
		if flag != "org" && command.Flags().Changed(flag) {
			return usagef("give an ID or --%s, not both", flag)
		}
	}
	return nil
}

// onDeadLetters does work on the dead letters that fit the flags, once the user has seen how many they are and agreed.
func (c *client) onDeadLetters(
	command *cobra.Command, flags *deadFlags, verb string,
	work func(context.Context, *connection, *ignitev1.ExecutionFilter, uint32) error,
) error {
	if !anyGiven(command, filterFlagNames) {
		return usagef("say which: an ID, or a filter of --org, --app, --status, --since and --until")
	}
	org, err := c.knownOrganization()
	if err != nil {
		return err
	}
	now := time.Now()
	filter, err := flags.filter.filter(org, now)
	if err != nil {
		return err
	}
	if filter.To == nil { // what comes of the work may fail again; it is not meant
		filter.To = timestamppb.New(now)
	}
	ctx := command.Context()
	return c.withConnection(func(conn *connection) error {
		if !flags.yes {
			if proceed, err := c.confirm(ctx, conn, verb, filter, flags.limit); err != nil || !proceed {
				return err
			}
		}
		return work(ctx, conn, filter, flags.limit)
	})
}

// confirm asks whether to go on with the dead letters that fit. It is false if there are none.
func (c *client) confirm(
	ctx context.Context, conn *connection, verb string, filter *ignitev1.ExecutionFilter, limit uint32,
) (bool, error) {
	most := cmp.Or(min(limit, maxPage), maxPage)
	found, err := listExecutions(ctx, conn, listRequest(filter, true), most)
	if err != nil {
		return false, fmt.Errorf("list dead letters: %w", err)
	}
	letters := found.GetExecutions()
	if len(letters) == 0 {
		c.tell("There are no such dead letters")
		return false, nil
	}
	amount := fmt.Sprint(len(letters))
	if found.GetNextCursor() != "" && (limit == 0 || limit > most) {
		amount = "more than " + amount
	}
	newest, oldest := letters[0], letters[len(letters)-1]
	_, _ = fmt.Fprintf(c.stderr, "%s %s dead letters, submitted from %s to %s? [y/N] ",
		verb, amount, instant(oldest.GetCreatedAtMs()), instant(newest.GetCreatedAtMs()))
	answer, err := c.readLine(ctx)
	if err != nil {
		return false, err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return false, usagef("nothing was done: answer y, or give --yes")
	}
	return true, nil
}

// readLine reads a line of standard input, or what there is of one. The reader may stay behind when ctx ends, like readBounded's.
func (c *client) readLine(ctx context.Context) (string, error) {
	for line, err := range lines(ctx, c.stdin) {
		return strings.TrimSpace(string(line)), err
	}
	return "", nil
}

// pageOf is how many of limit are asked for when there are some already; a limit of 0 is none.
func pageOf(limit uint32, have int) uint32 {
	if limit == 0 {
		return maxPage
	}
	return min(maxPage, limit-uint32(have))
}
