package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// target is what one load asks for, in turn, and how long each answer is.
type target struct {
	roads []road
	want  int
}

// road is a request and where it goes.
type road struct {
	address string
	request []byte
}

// share is what caller i of so many calls in turn: its part of the roads, or one of them if there are fewer than callers.
func (t target) share(i, callers int) []road {
	if len(t.roads) <= callers {
		return []road{t.roads[i%len(t.roads)]}
	}
	var own []road
	for ; i < len(t.roads); i += callers {
		own = append(own, t.roads[i])
	}
	return own
}

// caller has a connection for each of its roads.
type caller struct {
	wires []*wire
	roads []road
}

func openCallers(t target, n int) (callers []caller, err error) {
	for i := range n {
		c := caller{roads: t.share(i, n)}
		for _, r := range c.roads {
			w, err := openWire(r.address)
			if err != nil {
				closeCallers(callers)
				return nil, fmt.Errorf("connect caller %d: %w", i, err)
			}
			c.wires = append(c.wires, w)
		}
		callers = append(callers, c)
	}
	return callers, nil
}

func closeCallers(callers []caller) {
	for _, c := range callers {
		closeWires(c.wires)
	}
}

// call is the nth of c.
func (c caller) call(n, want int) error {
	n %= len(c.roads)
	return c.wires[n].exchange(c.roads[n].request, want)
}

// round is what came of one load.
type round struct {
	rate float64
	// took of each call: from when it was sent, or at a steady rate from when it was due.
	took []time.Duration
	// processor is what a call took the process between load and pod.
	processor time.Duration
}

// press calls from so many callers, each of which calls again as soon as it has its answer.
func press(ctx context.Context, t target, callers int, duration time.Duration) (round, error) {
	each, err := openCallers(t, callers)
	if err != nil {
		return round{}, err
	}
	defer closeCallers(each)
	all := make([][]time.Duration, callers)
	var group errgroup.Group
	began := time.Now()
	for i, c := range each {
		group.Go(func() error {
			for n := 0; time.Since(began) < duration && ctx.Err() == nil; n++ {
				before := time.Now()
				if err := c.call(n, t.want); err != nil {
					return err
				}
				all[i] = append(all[i], time.Since(before))
			}
			return nil
		})
	}
	err = errors.Join(group.Wait(), ctx.Err())
	took := slices.Concat(all...)
	return round{rate: float64(len(took)) / time.Since(began).Seconds(), took: took}, err
}

// keepRate makes so many calls a second whether or not those before are answered. A call that finds no free connection waits, and that counts: it is
// measured from when it was due.
func keepRate(ctx context.Context, t target, rate int, duration time.Duration) (round, error) {
	const connections = 128
	callers, err := openCallers(t, connections)
	if err != nil {
		return round{}, err
	}
	defer closeCallers(callers)
	calls := int(duration.Seconds() * float64(rate))
	due := make(chan time.Time, calls)
	var mu sync.Mutex
	var took []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range callers {
		group.Go(func() error {
			var own []time.Duration
			for at := range due {
				if err := c.call(len(own), t.want); err != nil {
					return err
				}
				own = append(own, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
			return nil
		})
	}
	began := time.Now()
	pace(ctx, due, began, calls, time.Second/time.Duration(rate))
	err = group.Wait()
	return round{rate: float64(len(took)) / time.Since(began).Seconds(), took: took}, err
}

// pace sends the time of each call when it has come, and closes due after the last. It sleeps in the kernel: a timer of Go may be a millisecond late.
func pace(ctx context.Context, due chan<- time.Time, began time.Time, calls int, apart time.Duration) {
	defer close(due)
	for n := range calls {
		at := began.Add(time.Duration(n) * apart)
		for left := time.Until(at); left > 0 && ctx.Err() == nil; left = time.Until(at) {
			rest := unix.NsecToTimespec(int64(left))
			_ = unix.Nanosleep(&rest, nil) // what a signal cuts short is slept again
		}
		if ctx.Err() != nil {
			return
		}
		due <- at
	}
}

// rounds are those of one lane. What is printed of them is the median of what each of them says.
type rounds []round

func (r rounds) rate() float64 {
	return middle(r, func(one round) float64 { return one.rate })
}

func (r rounds) quantile(q float64) time.Duration {
	return time.Duration(middle(r, func(one round) float64 { return float64(quantile(one.took, q)) }))
}

func (r rounds) processor() time.Duration {
	return time.Duration(middle(r, func(one round) float64 { return float64(one.processor) }))
}

func (r rounds) latency() string {
	return fmt.Sprintf("p50 %s, p99 %s", milliseconds(r.quantile(0.5)), milliseconds(r.quantile(0.99)))
}

// against is by how much more r does than other, or less: the median of what it is round by round, because the machine's mood meets both alike.
func (r rounds) against(other rounds) float64 {
	ratios := make([]float64, len(r))
	for i := range r {
		ratios[i] = r[i].rate / other[i].rate
	}
	return median(ratios)
}

func middle(r rounds, of func(round) float64) float64 {
	values := make([]float64, len(r))
	for i, one := range r {
		values[i] = of(one)
	}
	return median(values)
}

// median is 0 of no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
