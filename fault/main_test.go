package fault

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	long     = flag.Bool("long", false, "run the long form: every boundary in several ways, at least 200 kills")
	soak     = flag.Duration("soak", 0, "how long the soak takes; 0 leaves it out")
	raced    = flag.Bool("raced", false, "build ignited with the race detector")
	programs = sync.OnceValues(func() (Programs, error) {
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("ignite-fault-%d", os.Getpid()))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return Programs{}, err
		}
		built = dir
		return Build(context.Background(), dir, *raced)
	})
	// built is the folder of programs, to be removed at the end.
	built string
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// real answers the programs, for tests that run them.
func real(t *testing.T) Programs {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: it runs real servers for minutes")
	}
	p, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const app = "pod"

// world is an installation under test, and what is known of it.
type world struct {
	*Ledger
	calls   string
	servers []*Server
	conn    *nats.Conn
}

// newWorld deploys the pod with the first server. All of them share what conn leads to.
func newWorld(t *testing.T, conn *nats.Conn, servers ...*Server) *world {
	t.Helper()
	w := &world{Ledger: NewLedger(), calls: filepath.Join(t.TempDir(), "calls"), servers: servers, conn: conn}
	observe(t, conn, w.Ledger)
	servers[0].Deploy(t, app, w.calls)
	return w
}

func (w *world) load(callers int, kinds ...Kind) *Load {
	l := &Load{Ledger: w.Ledger, App: app, Kinds: kinds, Callers: callers}
	for _, s := range w.servers {
		l.Clients = append(l.Clients, s.Client)
	}
	return l
}

// settled waits until everything has ended, and nothing is left over.
func (w *world) settled(t *testing.T, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	var clients []*Client
	for _, s := range w.servers {
		clients = append(clients, s.Client)
	}
	Settle(ctx, w.Ledger, clients...)
	ended := time.Now()
	if left := w.Unchecked(); len(left) > 0 {
		t.Errorf("after %v %d acknowledged executions have no end, such as %s", limit, len(left), left[0])
	}
	if err := until(limit, func() error { return leftovers(t.Context(), w.conn) }); err != nil {
		t.Errorf("after %v this is left over:\n%v", limit, err)
	}
	w.sight(t)
	t.Logf("all had ended after %.1f s, nothing was left %.1f s later", ended.Sub(began).Seconds(), time.Since(ended).Seconds())
}

// sight notes the records that are stored now. A cluster that has just lost a server may take a while to tell them.
func (w *world) sight(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "the records can be read", func() error { return sightAll(t.Context(), w.conn, w.Ledger) })
}

// said is what the servers and the pods wrote down about an execution.
func (w *world) said(id string, calls []Call) string {
	if id == "" {
		return ""
	}
	var lines strings.Builder
	for _, s := range w.servers {
		log, err := os.ReadFile(s.log)
		if err != nil {
			return err.Error()
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, id) && lines.Len() < 8<<10 {
				lines.WriteString("\n  " + strings.TrimSpace(line))
			}
		}
	}
	for _, c := range calls {
		if c.Execution == id {
			fmt.Fprintf(&lines, "\n  %s pod: attempt %d, answer %d", stamp(c.At), c.Attempt, c.Answer)
		}
	}
	return lines.String()
}

// verdict prints the counts and fails the test for what is wrong.
func (w *world) verdict(t *testing.T) Report {
	t.Helper()
	calls, err := ReadCalls(w.calls)
	if err != nil {
		t.Fatal(err)
	}
	report := w.Judge(calls)
	t.Log(report)
	const most = 20
	for _, fault := range report.Faults[:min(len(report.Faults), most)] {
		t.Errorf("%s%s", fault, w.said(executionID.FindString(fault), calls))
	}
	if more := len(report.Faults) - most; more > 0 {
		t.Errorf("and %d more", more)
	}
	return report
}
