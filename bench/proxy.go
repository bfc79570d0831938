package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// way is one road to the same program.
type way struct {
	name    string
	request func(context.Context) (*http.Request, error)
}

// measureProxy sends the same load straight to the program, through its own host name, and through Invoke.
func measureProxy(ctx context.Context, in *installation, s settings) ([]row, error) {
	if err := in.deploy(ctx, "echo", nil); err != nil {
		return nil, err
	}
	if err := in.warm(ctx, "echo"); err != nil {
		return nil, err
	}
	straight, stop, err := in.startStraight(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	ways := []way{
		{"straight to the pod", func(ctx context.Context) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodPost, straight, bytes.NewReader(make([]byte, bodyBytes)))
		}},
		{"direct host name", func(ctx context.Context) (*http.Request, error) {
			return in.direct(ctx, http.MethodPost, "echo", "/", make([]byte, bodyBytes))
		}},
		{"Invoke over HTTP", in.invokeRequest},
	}
	rows, err := compareLatency(ctx, ways)
	if err != nil {
		return nil, err
	}
	rates, err := compareRate(ctx, ways, s)
	return append(rows, rates...), err
}

func (in *installation) invokeRequest(ctx context.Context) (*http.Request, error) {
	envelope := fmt.Sprintf(`{"body":%q}`, base64.StdEncoding.EncodeToString(make([]byte, bodyBytes)))
	url := "http://" + in.http + "/v1/ignite/app/" + organization + "/echo/invoke"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(envelope)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+in.token)
	request.Header.Set("Content-Type", "application/json")
	return request, nil
}

// startStraight runs the pod's program without Ignite.
func (in *installation) startStraight(ctx context.Context) (url string, stop func(), err error) {
	command := in.command()
	url, err = startBare(ctx, command)
	return url, func() { _ = endBare(command) }, err
}

// compareLatency takes turns between the ways, one call at a time, so that a drift of the machine meets all of them.
func compareLatency(ctx context.Context, ways []way) ([]row, error) {
	const calls = 3000
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true}}
	took := make([][]time.Duration, len(ways))
	for range calls {
		for i, w := range ways {
			began := time.Now()
			if err := send(ctx, client, w); err != nil {
				return nil, err
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	rows := make([]row, 0, len(ways))
	for i, w := range ways {
		r := row{what: w.name + ", one caller", figure: quantiles(took[i])}
		if i > 0 {
			added := quantile(took[i], 0.5) - quantile(took[0], 0.5)
			tail := quantile(took[i], 0.99) - quantile(took[0], 0.99)
			r.figure += fmt.Sprintf("; added p50 %s, p99 %s", milliseconds(added), milliseconds(tail))
			r.aim = "added p50 < 0.3 ms"
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func send(ctx context.Context, client *http.Client, w way) error {
	request, err := w.request(ctx)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK || n != bodyBytes {
		err = errors.Join(err, fmt.Errorf("%s: %s with %d bytes", w.name, answer.Status, n))
	}
	return errors.Join(err, answer.Body.Close())
}

// compareRate loads one way after another from 32 callers.
func compareRate(ctx context.Context, ways []way, s settings) ([]row, error) {
	const callers = 32
	rows := make([]row, 0, len(ways))
	for _, w := range ways {
		rate, took, err := saturate(ctx, w, callers, s.duration/2)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{fmt.Sprintf("%s, %d callers", w.name, callers), perSecond(rate) + ", " + quantiles(took), ""})
	}
	return rows, nil
}

func saturate(ctx context.Context, w way, callers int, duration time.Duration) (float64, []time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var calls atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range callers {
		group.Go(func() error {
			var took []time.Duration
			for time.Since(began) < duration {
				start := time.Now()
				if err := send(ctx, client, w); err != nil {
					return err
				}
				took = append(took, time.Since(start))
				calls.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return nil
		})
	}
	err := group.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds(), all, err
}
