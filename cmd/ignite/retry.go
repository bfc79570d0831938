package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// retryFlags are the retry policy of an app, or of one submission.
type retryFlags struct {
	maxAttempts                uint32
	initialBackoff, maxBackoff time.Duration
	multiplier, jitter         float64
	statuses                   []uint
	maxAge                     time.Duration
}

var retryFlagNames = []string{
	"max-attempts", "initial-backoff", "max-backoff", "backoff-multiplier", "backoff-jitter", "retry-statuses", "max-age",
}

// register adds the flags. What 0 means for an app is a default, and for a submission the app's policy.
func (r *retryFlags) register(command *cobra.Command) {
	flags := command.Flags()
	flags.Uint32Var(&r.maxAttempts, "max-attempts", 0, "`N` attempts of an asynchronous call that may fail (an app's default is 1)")
	flags.DurationVar(&r.initialBackoff, "initial-backoff", 0, "pause after the first failed attempt (an app's default is 1s)")
	flags.DurationVar(&r.maxBackoff, "max-backoff", 0, "longest pause between attempts (an app's default is 5m)")
	flags.Float64Var(&r.multiplier, "backoff-multiplier", 0, "`FACTOR` by which each pause is longer than the one before (an app's default is 2)")
	flags.Float64Var(&r.jitter, "backoff-jitter", 0, "`PART` of a pause, 0 to 1, by which it may be off at random (an app's default is 0.2)")
	flags.UintSliceVar(&r.statuses, "retry-statuses", nil,
		"`STATUSES` of an answer that are worth another attempt (an app's default is 408,425,429,500,502,503,504)")
	flags.Lookup("retry-statuses").DefValue = "" // pflag would show an empty list
	flags.DurationVar(&r.maxAge, "max-age", 0, "age from which no further attempt begins (an app's default is 24h)")
}

// policy is what the flags say; nil if none of them was given.
func (r *retryFlags) policy(command *cobra.Command) (*ignitev1.RetryPolicy, error) {
	if !anyGiven(command, retryFlagNames) {
		return nil, nil
	}
	policy := &ignitev1.RetryPolicy{MaxAttempts: r.maxAttempts, Multiplier: r.multiplier}
	if command.Flags().Changed("backoff-jitter") {
		policy.Jitter = &r.jitter
	}
	var err error
	if policy.InitialBackoffMs, err = wholeUnits("initial-backoff", r.initialBackoff, time.Millisecond); err != nil {
		return nil, err
	}
	if policy.MaxBackoffMs, err = wholeUnits("max-backoff", r.maxBackoff, time.Millisecond); err != nil {
		return nil, err
	}
	if policy.MaxAgeSecs, err = wholeUnits("max-age", r.maxAge, time.Second); err != nil {
		return nil, err
	}
	for _, code := range r.statuses {
		if code == 0 { // as everywhere, the default
			continue
		}
		if code < 400 || code > 599 {
			return nil, usagef("--retry-statuses %d is no status of a failure, 400 to 599", code)
		}
		policy.RetryStatuses = append(policy.RetryStatuses, uint32(code))
	}
	return policy, nil
}

// wholeUnits is a duration as the API counts it. A part of a unit is not sent as 0, which would mean something else.
func wholeUnits(flag string, duration, unit time.Duration) (uint32, error) {
	n := duration / unit
	if duration < 0 || n > math.MaxUint32 {
		return 0, usagef("--%s %s is out of range", flag, duration)
	}
	if duration%unit != 0 {
		return 0, usagef("--%s %s is not a multiple of %s", flag, duration, unit)
	}
	return uint32(n), nil
}

// The server's defaults. AppMeta shows a policy with them filled in.
const (
	defaultMaxAttempts      = 1
	defaultInitialBackoffMs = 1000
	defaultMaxBackoffMs     = 300_000
	defaultMultiplier       = 2
	defaultJitter           = 0.2
	defaultMaxAgeSecs       = 24 * 60 * 60
)

var defaultRetryStatuses = []uint32{408, 425, 429, 500, 502, 503, 504}

// retryOver is the policy that current becomes. The API replaces a policy as a whole, so what was not given is kept; what
// stands at its default is left open again, so that showing a policy and changing it does not fix its defaults.
func retryOver(given func(string) bool, wanted, current *ignitev1.RetryPolicy) *ignitev1.RetryPolicy {
	policy := &ignitev1.RetryPolicy{
		MaxAttempts:      chosen(given("max-attempts"), wanted.GetMaxAttempts(), unless(current.GetMaxAttempts(), defaultMaxAttempts)),
		InitialBackoffMs: chosen(given("initial-backoff"), wanted.GetInitialBackoffMs(), unless(current.GetInitialBackoffMs(), defaultInitialBackoffMs)),
		MaxBackoffMs:     chosen(given("max-backoff"), wanted.GetMaxBackoffMs(), unless(current.GetMaxBackoffMs(), defaultMaxBackoffMs)),
		Multiplier:       chosen(given("backoff-multiplier"), wanted.GetMultiplier(), unless(current.GetMultiplier(), defaultMultiplier)),
		MaxAgeSecs:       chosen(given("max-age"), wanted.GetMaxAgeSecs(), unless(current.GetMaxAgeSecs(), defaultMaxAgeSecs)),
		Jitter:           wanted.Jitter,
		RetryStatuses:    wanted.GetRetryStatuses(),
	}
	if !given("backoff-jitter") && current.GetJitter() != defaultJitter {
		policy.Jitter = current.Jitter
	}
	if !given("retry-statuses") && !slices.Equal(current.GetRetryStatuses(), defaultRetryStatuses) {
		policy.RetryStatuses = current.GetRetryStatuses()
	}
	return policy
}

func chosen[T any](given bool, wanted, kept T) T {
	if given {
		return wanted
	}
	return kept
}

// unless is value, or nothing if it is the one that is used anyway.
func unless[T comparable](value, otherwise T) T {
	if value == otherwise {
		var open T
		return open
	}
	return value
}

// retryText is a policy for people.
func retryText(policy *ignitev1.RetryPolicy) string {
	if policy == nil {
		return ""
	}
	if policy.GetMaxAttempts() <= 1 {
		return "none of the app's own failures"
	}
	statuses := make([]string, len(policy.GetRetryStatuses()))
	for i, code := range policy.GetRetryStatuses() {
		statuses[i] = fmt.Sprint(code)
	}
	return fmt.Sprintf("%d attempts, %s to %s apart (x%g, ±%g%%)\nafter timeouts, broken pods and answers %s\nwithin %s",
		policy.GetMaxAttempts(), span(int64(policy.GetInitialBackoffMs())), span(int64(policy.GetMaxBackoffMs())),
		policy.GetMultiplier(), 100*policy.GetJitter(), strings.Join(statuses, ", "),
		time.Duration(policy.GetMaxAgeSecs())*time.Second)
}
