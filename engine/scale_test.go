package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"dodil.io/ignite/store"
)

var platform = bounds{replicas: 5, scaledown: 30 * time.Second}

// moment is the time at which the tables decide.
var moment = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return moment.Add(-d) }

// The lines of the page "Scaling configuration", and of "Cold starts vs warm pods" what is about numbers of pods.
func TestScalingConfiguration(t *testing.T) {
	t.Parallel()
	type line struct {
		scaling     store.Scaling
		concurrency uint32
		samples     samples
		want        int
	}
	many := bounds{replicas: 100, scaledown: 30 * time.Second}
	for name, c := range map[string]struct {
		bounds bounds
		lines  []line
	}{
		"reserved_capacity: minimum warm pods (0 = scale to zero allowed), default 0": {platform, []line{
			{store.Scaling{}, 0, samples{}, 0},
			{store.Scaling{}, 0, samples{running: 3}, 0},
			{store.Scaling{ReservedCapacity: 1}, 0, samples{}, 1},
			{store.Scaling{ReservedCapacity: 3}, 0, samples{running: 3}, 3},
			{store.Scaling{ReservedCapacity: 3}, 0, samples{waiting: 1}, 3},
		}},
		"max_replicas: maximum pods, default 10": {many, []line{
			{store.Scaling{}, 0, samples{arrived: 1_000_000}, 10},
			{store.Scaling{MaxReplicas: 12}, 0, samples{arrived: 1_000_000}, 12},
			{store.Scaling{MaxReplicas: 2}, 0, samples{waiting: 5000}, 2},
		}},
		"max_replicas: capped by a platform max — typically 5": {platform, []line{
			{store.Scaling{}, 0, samples{arrived: 1_000_000}, 5},
			{store.Scaling{MaxReplicas: 12}, 0, samples{arrived: 1_000_000}, 5},
			{store.Scaling{MaxReplicas: 3}, 0, samples{arrived: 1_000_000}, 3},
			{store.Scaling{MaxReplicas: 12, ReservedCapacity: 9}, 0, samples{}, 5},
		}},
		"scale_metric: REQUEST_RATE is target req/s per pod, and the default": {platform, []line{
			{store.Scaling{Threshold: 10}, 0, samples{arrived: 20 * 60, inFlight: 1, running: 1}, 2},
			{store.Scaling{Threshold: 10, Metric: "request_rate"}, 0, samples{arrived: 20 * 60, inFlight: 1, running: 1}, 2},
			{store.Scaling{Threshold: 10}, 0, samples{inFlight: 40, running: 1}, 1},
		}},
		"scale_metric: CONCURRENCY is target in-flight per pod": {platform, []line{
			{store.Scaling{Threshold: 10, Metric: "concurrency"}, 0, samples{inFlight: 40, running: 1}, 4},
			{store.Scaling{Threshold: 10, Metric: "concurrency"}, 0, samples{inFlight: 20, waiting: 11, running: 1}, 4},
			{store.Scaling{Threshold: 10, Metric: "concurrency"}, 0, samples{arrived: 40 * 60, inFlight: 1, running: 1}, 1},
		}},
		"scale_threshold: 0 is the platform default (10)": {platform, []line{
			{store.Scaling{}, 0, samples{arrived: 10 * 60, inFlight: 1, running: 1}, 1},
			{store.Scaling{}, 0, samples{arrived: 10*60 + 1, inFlight: 1, running: 1}, 2},
			{store.Scaling{Metric: "concurrency"}, 0, samples{inFlight: 10, running: 1}, 1},
			{store.Scaling{Metric: "concurrency"}, 0, samples{inFlight: 11, running: 1}, 2},
			{store.Scaling{Metric: "concurrency", Threshold: 5}, 0, samples{inFlight: 11, running: 1}, 3},
		}},
		"desired_replicas is ceil(observed / scale_threshold), clamped to reserved_capacity and max_replicas": {platform, []line{
			{store.Scaling{Threshold: 7}, 0, samples{arrived: 14 * 60, inFlight: 1, running: 2}, 2},
			{store.Scaling{Threshold: 7}, 0, samples{arrived: 14*60 + 1, inFlight: 1, running: 2}, 3},
			{store.Scaling{Threshold: 7, ReservedCapacity: 4}, 0, samples{arrived: 14 * 60, inFlight: 1}, 4},
			{store.Scaling{Threshold: 7, MaxReplicas: 2}, 0, samples{arrived: 70 * 60, inFlight: 1}, 2},
		}},
		"activation from zero is binary — any inbound request triggers it": {platform, []line{
			{store.Scaling{Threshold: 1_000_000}, 0, samples{waiting: 1}, 1},
			{store.Scaling{Threshold: 1_000_000, Metric: "concurrency"}, 0, samples{waiting: 1}, 1},
			{store.Scaling{Threshold: 1_000_000}, 0, samples{queued: 1}, 1},
			{store.Scaling{}, 0, samples{arrived: 1}, 0}, // and has gone again
		}},
		"max_concurrency: every call that waits or runs is to have a slot": {platform, []line{
			{store.Scaling{}, 1, samples{waiting: 3}, 3},
			{store.Scaling{}, 0, samples{waiting: 81}, 2},
			{store.Scaling{Threshold: 1000, Metric: "concurrency"}, 10, samples{inFlight: 10, waiting: 11, running: 1}, 3},
			{store.Scaling{}, 1, samples{waiting: 300}, 5},
		}},
		"queued asynchronous work is demand": {platform, []line{
			{store.Scaling{Metric: "concurrency"}, 0, samples{queued: 25}, 3},
			{store.Scaling{}, 0, samples{queued: 1200}, 5},
			{store.Scaling{}, 10, samples{queued: 25}, 3},
			{store.Scaling{Threshold: 1}, 0, samples{queued: 70}, 2},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, l := range c.lines {
				l.samples.used = ago(time.Hour)
				if l.samples.calls() > 0 || l.samples.arrived > 0 {
					l.samples.used = moment
				}
				r := rulesOf(store.Config{Scaling: l.scaling, MaxConcurrency: l.concurrency}, c.bounds)
				if got := desired(moment, r, l.samples); got != l.want {
					t.Errorf("%+v wants %d pods for %+v, want %d", l.scaling, got, l.samples, l.want)
				}
			}
		})
	}
}

// scaledown_period_secs: stay scaled-up this long after traffic drops; 300 by default, and 30 at least.
func TestScaledownPeriod(t *testing.T) {
	t.Parallel()
	past := func(pods int, until time.Duration) wishes { return wishes{{pods, ago(until)}} }
	for name, c := range map[string]struct {
		secs    uint32
		samples samples
		want    int
	}{
		"stay after traffic drops":                     {60, samples{running: 4, inFlight: 1, before: past(4, 59*time.Second)}, 4},
		"and go when the period is over":               {60, samples{running: 4, inFlight: 1, before: past(4, 60*time.Second)}, 1},
		"to what was wanted meanwhile":                 {60, samples{running: 4, inFlight: 1, before: wishes{{4, ago(time.Minute)}, {2, ago(time.Second)}}}, 2},
		"to zero likewise":                             {60, samples{running: 1, used: ago(60 * time.Second)}, 0},
		"not to zero before":                           {60, samples{running: 1, used: ago(59 * time.Second)}, 1},
		"all at once if there was no call":             {60, samples{running: 4, used: ago(60 * time.Second), before: past(4, time.Second)}, 0},
		"300 by default":                               {0, samples{running: 4, inFlight: 1, before: past(4, 299*time.Second)}, 4},
		"300 and no more by default":                   {0, samples{running: 4, inFlight: 1, before: past(4, 300*time.Second)}, 1},
		"30 at least":                                  {1, samples{running: 4, inFlight: 1, before: past(4, 29*time.Second)}, 4},
		"30 at least and then":                         {1, samples{running: 4, inFlight: 1, before: past(4, 30*time.Second)}, 1},
		"what died is not replaced for the period":     {60, samples{running: 2, inFlight: 1, before: past(4, time.Second)}, 2},
		"the last one that died is not replaced":       {60, samples{used: ago(time.Second), before: past(4, time.Second)}, 0},
		"a lower maximum does not wait for the period": {60, samples{running: 9, inFlight: 1, before: past(9, time.Second)}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rulesOf(store.Config{Scaling: store.Scaling{ScaledownPeriodSecs: c.secs}}, platform)
			if got := desired(moment, r, c.samples); got != c.want {
				t.Errorf("desired(%+v) = %d, want %d", c.samples, got, c.want)
			}
		})
	}
}

func FuzzDesiredIsWithinItsBounds(f *testing.F) {
	f.Add(uint32(0), uint32(0), uint32(0), uint32(0), uint32(0), false, uint16(1), uint16(3), uint16(4), uint32(100), uint32(7), int64(1))
	f.Add(uint32(9), uint32(3), uint32(1), uint32(1), uint32(40), true, uint16(0), uint16(1), uint16(0), uint32(0), uint32(0), int64(-1))
	f.Add(^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), true, ^uint16(0), ^uint16(0), ^uint16(0), ^uint32(0), ^uint32(0), int64(1)<<62)
	f.Fuzz(func(t *testing.T, reserved, most, threshold, slots, period uint32, concurrency bool, running, waiting, inFlight uint16, queued, arrived uint32, idle int64) {
		config := store.Config{MaxConcurrency: slots, Scaling: store.Scaling{
			ReservedCapacity: reserved, MaxReplicas: most, Threshold: threshold, ScaledownPeriodSecs: period,
		}}
		if concurrency {
			config.Scaling.Metric = byConcurrency
		}
		r := rulesOf(config, platform)
		s := samples{
			running: int(running), waiting: int(waiting), inFlight: int(inFlight), queued: int(queued), arrived: int(arrived), used: ago(time.Duration(idle)),
		}
		s.before.note(moment, wish(r, s), r.scaledown)
		got := desired(moment, r, s)
		switch {
		case got > r.most || r.most > platform.replicas:
			t.Errorf("%d pods are over the maximum of %+v", got, r)
		case got < r.reserved:
			t.Errorf("%d pods are fewer than are reserved by %+v", got, r)
		case s.calls() > 0 && got == 0:
			t.Errorf("no pod for %d calls", s.calls())
		case got < r.most && got*r.slots < s.calls():
			t.Errorf("%d pods of %d slots for %d calls, and there may be %d", got, r.slots, s.calls(), r.most)
		case s.calls() == 0 && s.arrived == 0 && got > max(s.running, r.reserved):
			t.Errorf("%d pods are wanted by nobody, and %d run", got, s.running)
		}
	})
}

// More of anything never wants fewer pods.
func TestWishGrowsWithDemand(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		config := store.Config{MaxConcurrency: random.Uint32N(20), Scaling: store.Scaling{Threshold: random.Uint32N(20), ReservedCapacity: random.Uint32N(3)}}
		if random.IntN(2) == 0 {
			config.Scaling.Metric = byConcurrency
		}
		r := rulesOf(config, bounds{replicas: 1 + random.IntN(20)})
		less := samples{waiting: random.IntN(100), inFlight: random.IntN(100), queued: random.IntN(100), arrived: random.IntN(10_000)}
		more := less
		more.waiting += random.IntN(10)
		more.inFlight += random.IntN(10)
		more.queued += random.IntN(10)
		more.arrived += random.IntN(1000)
		if few, many := wish(r, less), wish(r, more); many < few {
			t.Fatalf("%+v wants %d pods, %+v only %d", less, few, more, many)
		}
	}
}

// A list of wishes answers what looking through all of them would.
func TestWishesRememberTheHighest(t *testing.T) {
	t.Parallel()
	const period = 40 * time.Second
	random := rand.New(rand.NewPCG(3, 4))
	var all []wished
	var remembered wishes
	now := moment
	for range 5000 {
		now = now.Add(time.Duration(random.IntN(20)) * time.Second)
		pods := random.IntN(6)
		all = append(all, wished{pods, now})
		remembered.note(now, pods, period)
		later := now.Add(time.Duration(random.IntN(50)) * time.Second)
		want := 0
		for _, w := range all {
			if later.Before(w.until.Add(period)) {
				want = max(want, w.pods)
			}
		}
		if got := remembered.highest(later, period); got != want {
			t.Fatalf("highest of the last %v is %d, want %d", period, got, want)
		}
		if len(remembered) > 6 {
			t.Fatalf("%d wishes are remembered", len(remembered))
		}
	}
}

// Of what is queued only as much wants a pod as may run beside what runs.
func TestQueuedWorkThatMayNotRunIsNoDemand(t *testing.T) {
	t.Parallel()
	for _, line := range []struct{ async, inFlight, queued, want int }{
		{0, 0, 16, 4}, {2, 0, 16, 2}, {2, 1, 16, 2}, {2, 2, 16, 2}, {3, 5, 16, 4}, {100, 0, 16, 4}, {2, 0, 0, 0},
	} {
		r := rules{metric: byConcurrency, threshold: 1, most: 4, slots: 80, async: line.async}
		if got := wish(r, samples{inFlight: line.inFlight, queued: line.queued}); got != line.want {
			t.Errorf("%+v: %d pods are wanted", line, got)
		}
	}
}
