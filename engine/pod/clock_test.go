package pod_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
)

// bubble runs a call of handler in a synctest bubble and answers what came of it and after how long.
func bubble(t *testing.T, handler http.HandlerFunc, r pod.Request, limit func(context.Context, *pod.Target) context.Context) (body string, took time.Duration, err error) {
	synctest.Test(t, func(t *testing.T) {
		driver := podtest.NewPipe(podtest.Serving(handler))
		p, startErr := driver.Start(t.Context(), pod.Spec{Name: "a-1-x"})
		if startErr != nil {
			t.Fatal(startErr)
		}
		client := driver.Client()
		target := pod.Target{Pod: p.Name(), Addr: p.Addr(), OutOfService: p.Done()}
		ctx := t.Context()
		if limit != nil {
			ctx = limit(ctx, &target)
		}
		began := time.Now()
		body, err = call(ctx, client, target, r)
		took = time.Since(began)
		client.Close()
		if closeErr := driver.Close(context.WithoutCancel(t.Context())); closeErr != nil {
			t.Error(closeErr)
		}
	})
	return body, took, err
}

func call(ctx context.Context, client *pod.Client, target pod.Target, r pod.Request) (string, error) {
	response, err := client.Do(ctx, target, r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// after writes each part once its time has passed since the one before, and waits for the last time before it returns.
func after(parts []string, waits ...time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i, wait := range waits {
			select {
			case <-time.After(wait):
			case <-r.Context().Done():
				return
			}
			if i < len(parts) {
				fmt.Fprint(w, parts[i])
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
}

func TestClocks(t *testing.T) {
	t.Parallel()
	parts := []string{"a", "b", "c"}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		clocks  pod.Clocks
		body    string
		took    time.Duration
		clock   string
	}{
		{"none", after(parts, time.Hour, time.Hour, time.Hour, time.Hour), pod.Clocks{}, "abc", 4 * time.Hour, ""},
		{"all in time", after(parts, 8*time.Second, time.Second, time.Second, 0), pod.Clocks{Total: 11 * time.Second, FirstByte: 9 * time.Second, Idle: 2 * time.Second}, "abc", 10 * time.Second, ""},
		{"first byte", after(parts, time.Minute), pod.Clocks{Total: time.Minute, FirstByte: 9 * time.Second, Idle: time.Second}, "", 9 * time.Second, pod.ClockFirstByte},
		{"total before the head", after(parts, time.Minute), pod.Clocks{Total: 5 * time.Second, FirstByte: 9 * time.Second}, "", 5 * time.Second, pod.ClockTotal},
		{"total in the body", after(parts, 2*time.Second, 2*time.Second, 2*time.Second), pod.Clocks{Total: 5 * time.Second, FirstByte: 3 * time.Second, Idle: 3 * time.Second}, "ab", 5 * time.Second, pod.ClockTotal},
		{"idle", after(parts, 5*time.Second, time.Second, time.Minute), pod.Clocks{Total: time.Hour, Idle: 2 * time.Second}, "ab", 8 * time.Second, pod.ClockIdle},
		{"idle before the end", after(parts, 0, 0, 0, time.Minute), pod.Clocks{Idle: 2 * time.Second}, "abc", 2 * time.Second, pod.ClockIdle},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body, took, err := bubble(t, test.handler, pod.Request{Clocks: test.clocks}, nil)
			if body != test.body || took != test.took {
				t.Errorf("got %q after %v, want %q after %v", body, took, test.body, test.took)
			}
			timeout, _ := errors.AsType[*pod.TimeoutError](err)
			switch {
			case test.clock == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.clock != "" && (timeout == nil || timeout.Clock != test.clock || errors.Is(err, pod.ErrBroken)):
				t.Errorf("got %v, want the %s clock", err, test.clock)
			case test.clock != "" && !errors.Is(err, context.DeadlineExceeded):
				t.Errorf("%v is no DeadlineExceeded", err)
			}
		})
	}
}

// The idle clock is the pod's: a caller who takes an hour over what was sent does not run it down.
func TestSlowReaderIsNotIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driver := podtest.NewPipe(podtest.Serving(after([]string{"a", "b"}, 0, time.Second, 0)))
		p, err := driver.Start(t.Context(), pod.Spec{Name: "a-1-x"})
		if err != nil {
			t.Fatal(err)
		}
		client := driver.Client()
		response, err := client.Do(t.Context(), pod.Target{Addr: p.Addr()}, pod.Request{Clocks: pod.Clocks{Idle: 2 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a", "b"} {
			time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
			got := make([]byte, 1)
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		response.Body.Close()
		client.Close()
		driver.Close(context.WithoutCancel(t.Context()))
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	left := errors.New("the caller left")
	for name, handler := range map[string]http.HandlerFunc{
		"before the head": after(nil, time.Hour),
		"in the body":     after([]string{"a"}, 0, time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, took, err := bubble(t, handler, pod.Request{}, func(ctx context.Context, _ *pod.Target) context.Context {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Minute, func() { cancel(left) })
				return ctx
			})
			if !errors.Is(err, left) || errors.Is(err, pod.ErrBroken) || took != time.Minute {
				t.Errorf("got %v after %v, want the context's cause after a minute", err, took)
			}
		})
	}
}

func TestCallEndsWithItsPod(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"before the head": after(nil, time.Hour),
		"in the body":     after([]string{"a"}, 0, time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, took, err := bubble(t, handler, pod.Request{}, func(ctx context.Context, target *pod.Target) context.Context {
				outOfService := make(chan struct{})
				time.AfterFunc(time.Minute, func() { close(outOfService) })
				target.OutOfService = outOfService
				return ctx
			})
			if !errors.Is(err, pod.ErrBroken) || took != time.Minute {
				t.Errorf("got %v after %v, want ErrBroken after a minute", err, took)
			}
		})
	}
}

// Who closes the body early hangs up on the pod.
func TestCloseDisconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := make(chan struct{})
		driver := podtest.NewPipe(podtest.Serving(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(left)
		})))
		p, err := driver.Start(t.Context(), pod.Spec{Name: "a-1-x"})
		if err != nil {
			t.Fatal(err)
		}
		client := driver.Client()
		response, err := client.Do(t.Context(), pod.Target{Addr: p.Addr()}, pod.Request{})
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		<-left
		if _, err := response.Body.Read(make([]byte, 1)); err == nil || err == io.EOF || errors.Is(err, pod.ErrBroken) {
			t.Errorf("reading after Close answered %v", err)
		}
		client.Close()
		driver.Close(context.WithoutCancel(t.Context()))
	})
}
