package main

import (
	"context"
	"fmt"
	"time"
)

const (
	kibibyte = 1 << 10
	mebibyte = 1 << 20
	// turns is how often every lane has its turn. They take turns so that a drift of the machine meets all of them.
	turns = 5
)

// measureRates has the same callers ask for the same answers on every lane, small ones and large ones.
func measureRates(ctx context.Context, in *installation, s settings) ([]row, error) {
	const callers = 32
	l, err := openLanes(ctx, in)
	defer l.close()
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1 KiB", kibibyte}, {"1 MiB", mebibyte}} {
		each, err := l.takeTurns(func(l lane) (round, error) {
			return l.press(ctx, size.bytes, callers, s.duration/turns)
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, l.compare(fmt.Sprintf("%s answers, %d callers", size.name, callers), each)...)
	}
	return rows, nil
}

func (l lane) target(bytes int) target {
	return target{roads: []road{{l.address, l.get(fmt.Sprintf("/bytes?%d", bytes))}}, want: bytes}
}

// press also reads what the calls took the proxy.
func (l lane) press(ctx context.Context, bytes, callers int, duration time.Duration) (round, error) {
	before, err := l.processorTime()
	if err != nil {
		return round{}, err
	}
	r, err := press(ctx, l.target(bytes), callers, duration)
	if err != nil {
		return round{}, err
	}
	after, err := l.processorTime()
	r.processor = (after - before) / time.Duration(len(r.took))
	return r, err
}

// takeTurns answers the rounds of each lane.
func (l *lanes) takeTurns(measure func(lane) (round, error)) ([]rounds, error) {
	each := make([]rounds, len(l.all))
	for range turns {
		for i, lane := range l.all {
			one, err := measure(lane)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lane.name, err)
			}
			each[i] = append(each[i], one)
		}
	}
	return each, nil
}

// compare makes a row of every lane, with Ignite's held against the others'.
func (l *lanes) compare(load string, each []rounds) []row {
	rows := make([]row, 0, len(l.all)+len(l.missing))
	for i, lane := range l.all {
		r := row{what: load + ": " + lane.name, figure: perSecond(each[i].rate()) + "; " + each[i].latency()}
		if lane.proxy != 0 {
			r.figure += fmt.Sprintf("; %.0f µs of processor a call", each[i].processor().Seconds()*1e6)
		}
		if lane.name == directLane {
			r.figure += "; by others' rate:"
			for j, other := range l.all {
				if j != i {
					r.figure += fmt.Sprintf(" %.2f (%s)", each[i].against(each[j]), other.name)
				}
			}
			r.aim = "> 1.00 (" + reverseLane + ")"
		}
		rows = append(rows, r)
	}
	return append(rows, l.missing...)
}

// measureSteady keeps a rate that is far from the maximum.
func measureSteady(ctx context.Context, in *installation, s settings) ([]row, error) {
	const rate = 1000
	l, err := openLanes(ctx, in)
	defer l.close()
	if err != nil {
		return nil, err
	}
	each, err := l.takeTurns(func(l lane) (round, error) { return keepRate(ctx, l.target(kibibyte), rate, s.duration/turns) })
	if err != nil {
		return nil, err
	}
	rows := make([]row, 0, len(l.all))
	for i, lane := range l.all {
		r := row{what: fmt.Sprintf("1 KiB answers at a steady %d/s, from when each was due: %s", rate, lane.name), figure: each[i].latency()}
		if lane.name == directLane {
			r.aim = "p99 < 10 ms"
		}
		rows = append(rows, r)
	}
	return append(rows, l.missing...), nil
}

// measureEvents asks for a stream of events and takes the time until the first one is there.
func measureEvents(ctx context.Context, in *installation, _ settings) ([]row, error) {
	const streams = 200
	l, err := openLanes(ctx, in)
	defer l.close()
	if err != nil {
		return nil, err
	}
	took := make([][]time.Duration, len(l.all))
	for range streams {
		for i, lane := range l.all {
			one, err := lane.firstEvent()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lane.name, err)
			}
			took[i] = append(took[i], one)
		}
	}
	rows := make([]row, 0, len(l.all))
	for i, lane := range l.all {
		rows = append(rows, row{fmt.Sprintf("first of two server-sent events half a second apart, %d streams: %s", streams, lane.name), quantiles(took[i]), ""})
	}
	return append(rows, l.missing...), nil
}

// firstEvent opens a connection, as a browser does for a stream, and leaves when the first event is there.
func (l lane) firstEvent() (time.Duration, error) {
	w, err := openWire(l.address)
	if err != nil {
		return 0, err
	}
	defer w.close()
	began := time.Now()
	if _, err := w.conn.Write(l.get("/events")); err != nil {
		return 0, err
	}
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if line == "data: now\n" {
			return time.Since(began), nil
		}
	}
}
