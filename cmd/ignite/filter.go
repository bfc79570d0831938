package main

import (
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const statusPrefix = "EXECUTION_STATUS_"

// filterFlags choose executions.
type filterFlags struct {
	app          string
	statuses     []string
	since, until string
}

var filterFlagNames = []string{"org", "app", "status", "since", "until"}

func (f *filterFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.app, "app", "", "only those of `APP`; ORG:APP is one of another organization, such as public:echo")
	flags.StringSliceVar(&f.statuses, "status", nil, "only those with one of these `STATUSES`, separated by commas; may be given again")
	flags.StringVar(&f.since, "since", "", "only those submitted at or after `TIME`: RFC 3339, or how long ago, such as 90m")
	flags.StringVar(&f.until, "until", "", "only those submitted before `TIME`: RFC 3339, or how long ago, such as 1h")
	completeFrom(command, "status", enumChoices(statusPrefix, ignitev1.ExecutionStatus_value))
}

// filter is what the flags say about the executions of org, which may be empty; times that are given as an age are counted from now.
func (f *filterFlags) filter(org string, now time.Time) (*ignitev1.ExecutionFilter, error) {
	filter := &ignitev1.ExecutionFilter{OrganizationName: org}
	var err error
	if filter.AppName, err = appOf(org, f.app); err != nil {
		return nil, err
	}
	for _, text := range f.statuses {
		value, err := parseEnum("status", text, statusPrefix, ignitev1.ExecutionStatus_value)
		if err != nil {
			return nil, err
		}
		filter.Statuses = append(filter.Statuses, ignitev1.ExecutionStatus(value))
	}
	if filter.From, err = parseTime("since", f.since, now); err != nil {
		return nil, err
	}
	if filter.To, err = parseTime("until", f.until, now); err != nil {
		return nil, err
	}
	if filter.From != nil && filter.To != nil && !filter.From.AsTime().Before(filter.To.AsTime()) {
		return nil, usagef("--since %s is not before --until %s", f.since, f.until)
	}
	return filter, nil
}

// appOf is an app as the API names one in executions of org: "organization/name" if it is of another organization.
func appOf(org, argument string) (string, error) {
	if argument == "" {
		return "", nil
	}
	app, err := parseApp(argument)
	if err != nil || app.org == "" || app.org == org {
		return app.name, err
	}
	return app.org + "/" + app.name, nil
}

// parseTime reads a time, or an age: a duration before now.
func parseTime(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if age, err := time.ParseDuration(text); err == nil {
		if age < 0 {
			return nil, usagef("--%s %q is in the future: an age counts backwards from now", flag, text)
		}
		return timestamppb.New(now.Add(-age)), nil
	}
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usagef("--%s %q is neither an age, such as 90m, nor a time, such as 2006-01-02T15:04:05Z", flag, text)
	}
	return timestamppb.New(instant), nil
}
