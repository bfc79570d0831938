package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// measureColdStart takes turns between a bare fork and exec of the program until its first 200, and the first call of an app
// that never ran.
func measureColdStart(ctx context.Context, in *installation, s settings) ([]row, error) {
	for i := range s.apps {
		if err := in.deploy(ctx, coldApp(i), nil); err != nil {
			return nil, err
		}
	}
	if err := in.warm(ctx, coldApp(0)); err != nil { // unpacks the code, which all of them share
		return nil, err
	}
	var bare, cold []time.Duration
	for i := 1; i < s.apps; i++ {
		took, err := in.timeBare(ctx)
		if err != nil {
			return nil, err
		}
		bare = append(bare, took)
		if took, err = in.timeCold(ctx, coldApp(i)); err != nil {
			return nil, err
		}
		cold = append(cold, took)
	}
	added := quantile(cold, 0.5) - quantile(bare, 0.5)
	return []row{
		{"fork and exec to first 200, bare", quantiles(bare), ""},
		{"first call of an app that is not running", quantiles(cold), ""},
		{"  added by Ignite, of the medians", milliseconds(added), "< 10 ms"},
	}, nil
}

func coldApp(i int) string { return fmt.Sprintf("cold-%d", i) }

func (in *installation) timeBare(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	command, _, err := in.startBare(ctx)
	took := time.Since(began)
	if command != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	return took, err
}

func (in *installation) timeCold(ctx context.Context, app string) (time.Duration, error) {
	request, err := in.direct(ctx, http.MethodPost, app, "/", nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", app, answer.Status)
	}
	return took, answer.Body.Close()
}
