package fault

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	soakRetention = 2 * time.Minute
	// steadyAfter is when the first executions have been gone for a while.
	steadyAfter = soakRetention + 30*time.Second
	sampleEvery = 2 * time.Second
	// soakApp writes down no calls: nobody could read them all.
	soakApp = "soak"
)

// soakMix is mostly small calls, with some of the others between them.
func soakMix() []Kind {
	mix := []Kind{Streamed, Fails, Flaky, Delayed, Big, Streamed, BigFails}
	for len(mix) < 100 {
		mix = append(mix, Small)
	}
	return mix
}

// Under a steady load the server takes no more after hours than after minutes.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("skipped: -soak says how long it takes")
	}
	p := real(t)
	s := NewServer(t, p, "--execution-retention", soakRetention.String(), "--reap-after", "5m", "--log-level", "info")
	s.Deploy(t, soakApp, "")
	conn := s.Inspect(t)
	load := &soakLoad{client: s.Client, kinds: soakMix()}
	most := load.measure(t, conn)
	t.Logf("measured: %.0f executions a second at most; half of it for %v", most, *soak)

	began := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), *soak)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { load.run(ctx, t.Context(), most/2) })
	samples := s.sample(ctx, t)
	running.Wait()
	rate := float64(load.accepted.Load()) / time.Since(began).Seconds()
	table, faults := judgeSoak(samples, steadyAfter)
	t.Logf("%d executions were accepted, %.0f a second; %d were read to their end\n%s", load.accepted.Load(), rate, load.checked.Load(), table)
	for _, fault := range append(faults, load.faults...) {
		t.Error(fault)
	}
	// Large results stay two minutes longer than their records.
	eventually(t, 3*time.Minute, "nothing is left over", func() error { return leftovers(t.Context(), conn) })
	if found, err := s.Metrics(t.Context()); err != nil || found["ignite_reaped_total"] != 0 {
		t.Errorf("reaped: %v, %v", found["ignite_reaped_total"], err)
	}
	if rate < most/4 {
		t.Errorf("only %.0f a second were accepted, want %.0f", rate, most/2)
	}
}

// sample looks at the server until ctx ends.
func (s *Server) sample(ctx context.Context, t *testing.T) (samples []Sample) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		found, err := s.Metrics(t.Context())
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Tail())
		}
		samples = append(samples, Sample{
			At: time.Since(began), RSS: found["process_resident_memory_bytes"], Heap: found["go_memstats_heap_inuse_bytes"],
			Disk: float64(s.Disk()), Routines: found["go_goroutines"], FDs: found["process_open_fds"],
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return samples
		}
	}
}

// soakLoad submits, and reads some of the executions to their end. It keeps nothing of the others.
type soakLoad struct {
	client *Client
	kinds  []Kind
	next   atomic.Int64

	accepted, checked atomic.Int64

	mu     sync.Mutex
	faults []error
}

const (
	soakCallers = 64
	// checkEvery is how many executions there are for one that is read.
	checkEvery = 37
)

func (l *soakLoad) fault(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 20 {
		l.faults = append(l.faults, err)
	}
}

// measure submits as fast as it goes for some seconds, and waits until all of it is done.
func (l *soakLoad) measure(t *testing.T, conn *nats.Conn) (perSecond float64) {
	t.Helper()
	began := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	l.run(ctx, t.Context(), 1e6)
	eventually(t, 2*time.Minute, "the queue is empty", func() error { return waiting(t.Context(), conn) })
	return float64(l.accepted.Swap(0)) / time.Since(began).Seconds()
}

// waiting says how much work there is.
func waiting(ctx context.Context, conn *nats.Conn) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	streams := js.ListStreams(ctx)
	n := uint64(0)
	for info := range streams.Info() {
		if strings.HasPrefix(info.Config.Name, "IGNITE_WORK_") {
			n += info.State.Msgs
		}
	}
	if streams.Err() != nil || n > 0 {
		return fmt.Errorf("%d messages: %w", n, streams.Err())
	}
	return nil
}

// run submits so many a second until ctx ends. Reading what became of them goes on until life ends.
func (l *soakLoad) run(ctx, life context.Context, perSecond float64) {
	var callers sync.WaitGroup
	for range soakCallers {
		callers.Go(func() {
			tick := time.NewTicker(max(time.Duration(soakCallers/perSecond*float64(time.Second)), time.Microsecond))
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				n := l.next.Add(1)
				k := l.kinds[int(n)%len(l.kinds)]
				tag := fmt.Sprintf("soak-%d", n)
				id, err := l.client.Submit(life, k.Request(soakApp, tag))
				if err != nil {
					l.fault(fmt.Errorf("submit: %w", err))
					continue
				}
				l.accepted.Add(1)
				if n%checkEvery == 0 {
					callers.Go(func() { l.check(life, k, tag, id) })
				}
			}
		})
	}
	callers.Wait()
}

func (l *soakLoad) check(ctx context.Context, k Kind, tag, id string) {
	e, _, err := l.client.Await(ctx, id)
	switch {
	case err != nil:
		l.fault(fmt.Errorf("read %s: %w", id, err))
	case e.GetStatus() != k.Ends[0] || !bytes.Equal(e.GetResult(), k.Result(tag, e.GetAttempt())):
		l.fault(fmt.Errorf("%s of kind %s ended %s with %d bytes: %s", id, k.Name, e.GetStatus(), len(e.GetResult()), e.GetError()))
	default:
		l.checked.Add(1)
	}
}

// The judge of the soak sees what grows, and nothing else.
func TestSoakIsJudged(t *testing.T) {
	t.Parallel()
	flat := func(i int) Sample {
		return Sample{At: time.Duration(i) * time.Second, RSS: 200 * mebi, Heap: 100 * mebi, Disk: 900 * mebi, Routines: 500, FDs: float64(100 + i%7)}
	}
	leaking := func(i int) Sample {
		s := flat(i)
		s.Routines += 10 * float64(i)
		return s
	}
	for name, test := range map[string]struct {
		of   func(i int) Sample
		n    int
		want string
	}{
		"flat":    {flat, 300, ""},
		"leaking": {leaking, 300, "goroutines grew"},
		"short":   {flat, 153, "too few"},
	} {
		var samples []Sample
		for i := range test.n {
			samples = append(samples, test.of(i))
		}
		table, faults := judgeSoak(samples, steadyAfter)
		if said := fmt.Sprint(faults); (len(faults) == 0) != (test.want == "") || !strings.Contains(said, test.want) || len(faults) > 1 {
			t.Errorf("%s: %v\n%s", name, faults, table)
		}
	}
}
