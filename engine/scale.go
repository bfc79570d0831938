package engine

import (
	"cmp"
	"slices"
	"time"

	"dodil.io/ignite/store"
)

const (
	// defaultReplicas is the most pods of an app that does not say.
	defaultReplicas = 10
	// defaultThreshold is what one pod is meant to take, in the unit of the app's metric, when the app does not say.
	defaultThreshold = 10
	// defaultIdle is how long a pod stays without calls when its app does not say.
	defaultIdle = 300 * time.Second
	// byConcurrency is the metric of calls in pods; every other is that of calls a second.
	byConcurrency store.ScaleMetric = "concurrency"
)

// bounds are what the platform allows every app.
type bounds struct {
	// replicas caps an app's pods.
	replicas int
	// scaledown is the floor of an app's scale-down period.
	scaledown time.Duration
}

// rules are what the decision about an app's number of pods goes by: the app's own, within the bounds of the platform.
type rules struct {
	metric store.ScaleMetric
	// threshold is how much one pod is meant to take.
	threshold int
	// reserved pods always stand, and there are never more than most.
	reserved, most int
	// slots is how many calls one pod takes at once.
	slots int
	// async is how many queued calls may run at a time; 0 is no bound.
	async int
	// scaledown is for how long fewer pods must be wanted before there are fewer.
	scaledown time.Duration
}

func rulesOf(c store.Config, b bounds) rules {
	s := c.Scaling
	most := min(int(cmp.Or(s.MaxReplicas, defaultReplicas)), b.replicas)
	return rules{
		metric:    s.Metric,
		threshold: int(cmp.Or(s.Threshold, defaultThreshold)),
		reserved:  min(int(s.ReservedCapacity), most),
		most:      most,
		slots:     slotsOf(c),
		async:     int(c.MaxAsyncInFlight),
		scaledown: max(cmp.Or(time.Duration(s.ScaledownPeriodSecs)*time.Second, defaultIdle), b.scaledown),
	}
}

// samples are what the decision looks at.
type samples struct {
	// running counts the pods in service and those that are starting.
	running int
	// waiting and inFlight count the calls that want a pod and those that are in one that stays.
	waiting, inFlight int
	// queued is about how many jobs wait in the app's queue: demand like calls that wait.
	queued int
	// arrived is how many calls came within the window before now.
	arrived int
	// used is when a call last came or ended.
	used time.Time
	// before is how many pods were wanted until now.
	before wishes
}

// within leaves out of the queue what may not run yet, whatever pods there are. Calls in pods count as queued ones.
func (s samples) within(r rules) samples {
	if r.async > 0 {
		s.queued = min(s.queued, max(r.async-s.inFlight, 0))
	}
	return s
}

// calls counts those that are to have a slot.
func (s samples) calls() int { return s.waiting + s.inFlight + s.queued }

// desired says how many pods an app should have now: as many as it wants (wish), and of those that are there already as many as it wanted
// at any moment of its scale-down period. A pod that died is replaced only if it is wanted still. When there was no call for the whole period
// only what is reserved is left.
func desired(now time.Time, r rules, s samples) int {
	s = s.within(r)
	if s.calls() == 0 && !now.Before(s.used.Add(r.scaledown)) {
		return r.reserved
	}
	stay := max(s.before.highest(now, r.scaledown), 1)
	return max(wish(r, s), min(stay, s.running, r.most))
}

// wish is how many pods the calls of this moment want, whatever was before:
//
//	clamp(ceil(observed / threshold), reserved_capacity, min(max_replicas, the platform's cap))
//
// observed is the app's total, of all its pods together: calls a second over the window, or calls in flight. The specification's
// formula, read to the letter, divides it by the pods first. Then the answer would go down as pods are added: 100 calls a second on ten pods at a threshold of
// 10 would be one pod, and no app could ever have more pods than one of them gets calls over the threshold.
//
// The first pod does not wait for the threshold, but comes with any call and goes when there is none. Beyond the formula there are always slots
// for all calls: with the default of 10 a second, calls of a minute would wait for each other.
func wish(r rules, s samples) int {
	s = s.within(r)
	want := 0
	if s.calls() > 0 {
		want = 1
	}
	if byMetric := r.byMetric(s); byMetric > 1 {
		want = byMetric
	}
	return min(max(want, ceil(s.calls(), r.slots), r.reserved), r.most)
}

// byMetric is the formula without its clamp. A job that waits in the queue counts as a call of the last minute, or as one in flight.
func (r rules) byMetric(s samples) int {
	if r.metric == byConcurrency {
		return ceil(s.calls(), r.threshold)
	}
	return ceil(s.arrived+s.queued, r.threshold*windowSecs)
}

func ceil(n, by int) int { return (n + by - 1) / by }

// wishes remembers how many pods were wanted until when, the most first. Fewer that were wanted before more are of no interest, so there are no more
// of them than an app may have pods.
type wishes []wished

type wished struct {
	pods  int
	until time.Time
}

// note adds what is wanted now, and forgets what does not count any more.
func (w *wishes) note(now time.Time, pods int, scaledown time.Duration) {
	kept := slices.DeleteFunc(*w, func(past wished) bool {
		return past.pods <= pods || !now.Before(past.until.Add(scaledown))
	})
	*w = append(kept, wished{pods, now})
}

// highest answers the most pods that were wanted within the scale-down period.
func (w wishes) highest(now time.Time, scaledown time.Duration) int {
	for _, past := range w {
		if now.Before(past.until.Add(scaledown)) {
			return past.pods
		}
	}
	return 0
}
