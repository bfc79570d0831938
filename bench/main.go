// Command bench measures a whole Ignite: it starts bin/ignited with a fresh data folder, loads it over real sockets with a
// static Go program as the pod, and prints one table. Load, server and pods share this machine, so the figures are
// those of all three together; comparisons are made within one run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings of one run.
type settings struct {
	ignited  string
	duration time.Duration
	callers  int
	watchers int
	apps     int
	// executions that many apps share, records that are listed, chunks that are resumed.
	executions, records, chunks int
	only                        string
}

// row is one figure of the table.
type row struct{ what, figure, aim string }

// measurement is one letter of the table.
type measurement struct {
	letter, what string
	run          func(context.Context, settings) ([]row, error)
}

func measurements() []measurement {
	return []measurement{
		{"e", "memory of the idle server", installed(measureIdleMemory)},
		{"a", "asynchronous submissions, accepted and finished", installed(measureAccept)},
		{"s", "submissions with nobody working", measureDurable},
		{"m", "work of many apps at once", measureManyApps},
		{"b", "submit to first byte", installed(measureFirstByte)},
		{"c", "one call, and 32 callers: straight, direct, Invoke", installed(measureProxy)},
		{"d", "cold start: static program and Python, in a sandbox and without", measureColdStart},
		{"p", "requests a second beside the pod, ReverseProxy and nginx", installed(measureRates)},
		{"o", "latency at a steady 1,000 requests a second, beside the same", installed(measureSteady)},
		{"v", "server-sent events: time to the first, beside the same", installed(measureEvents)},
		{"h", "500 calls held while a pod starts", installed(measureHeld)},
		{"n", "200 apps instead of one", installed(measureSpread)},
		{"f", "one app beside another's backlog", installed(measureFairness)},
		{"x", "one app beside another organization's flood", measureFlood},
		{"i", "10,000 published apps that are idle", installed(measureIdleApps)},
		{"g", "GetExecution under load", installed(measureGet)},
		{"l", "lists of executions", measureList},
		{"r", "a watch resumed", installed(measureResume)},
		{"t", "from a pod to its watcher", installed(measureLag)},
		{"w", "memory of idle watchers", installed(measureWatchers)},
	}
}

func usage() {
	out := flag.CommandLine.Output()
	fmt.Fprintln(out, "bench measures Ignite as a whole. Letters of -only:")
	for _, m := range measurements() {
		fmt.Fprintf(out, "  %s  %s\n", m.letter, m.what)
	}
	fmt.Fprintln(out, "Flags:")
	flag.PrintDefaults()
}

func run(ctx context.Context) error {
	var s settings
	flag.StringVar(&s.ignited, "ignited", "bin/ignited", "the server to measure")
	flag.DurationVar(&s.duration, "duration", 10*time.Second, "how long each load lasts")
	flag.IntVar(&s.callers, "callers", 64, "concurrent submitters")
	flag.IntVar(&s.watchers, "watchers", 10_000, "idle watchers")
	flag.IntVar(&s.apps, "apps", 30, "apps of each kind started cold")
	flag.IntVar(&s.executions, "executions", 40_000, "executions that 1, 100 and 2,000 apps share")
	flag.IntVar(&s.records, "records", 1_000_000, "records among which the newest are listed")
	flag.IntVar(&s.chunks, "chunks", 10_000, "chunks of the output that is resumed")
	flag.StringVar(&s.only, "only", "", "letters to measure, such as ab; empty is all")
	flag.Usage = usage
	flag.Parse()

	out := table.NewWriter()
	out.SetOutputMirror(os.Stdout)
	out.AppendHeader(table.Row{"", "measured", "figure", "aim"})
	for _, m := range measurements() {
		if s.only != "" && !strings.Contains(s.only, m.letter) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring (%s)\n", m.letter)
		rows, err := m.run(ctx, s)
		if err != nil {
			return fmt.Errorf("measure (%s): %w", m.letter, err)
		}
		for _, r := range rows {
			out.AppendRow(table.Row{m.letter, r.what, r.figure, r.aim})
		}
	}
	fmt.Printf("%s/%s, %d CPUs, %s, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	out.Render()
	return nil
}

// installed gives a measurement an installation of its own, so that none inherits another's data.
func installed(run func(context.Context, *installation, settings) ([]row, error)) func(context.Context, settings) ([]row, error) {
	return func(ctx context.Context, s settings) ([]row, error) {
		in, err := install(ctx, s.ignited)
		if err != nil {
			return nil, err
		}
		defer in.remove()
		return run(ctx, in, s)
	}
}
