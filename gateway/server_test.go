package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"google.golang.org/grpc"

	"dodil.io/ignite/gateway"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, err := gateway.New(gateway.Config{BaseDomain: "A_B", PublicScheme: "ftp", PublicPort: -1, MaxPayloadBytes: -1, MaxCodeBytes: 1 << 40, DrainTime: -1, ColdStartBudget: -1})
	for _, field := range []string{
		"Store", "Stream", "Dispatcher", "Builder", "Verifier", "BaseDomain", "PublicScheme", "PublicPort",
		"MaxPayloadBytes", "MaxCodeBytes", "DrainTime", "ColdStartBudget",
	} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error lacks %s: %v", field, err)
		}
	}
}

func TestOpenRoutesNeedNoToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ok\n", "/v1/ignite/health": `{"status":"ok","version":"1.2.3"}`,
	} {
		response := s.do(t, "GET", path, "", func(r *http.Request) { r.Header.Del("Authorization") })
		if got := strings.ReplaceAll(readAll(t, response), `", "`, `","`); response.StatusCode != 200 || got != want {
			t.Errorf("%s answers %d %q, want %q", path, response.StatusCode, got, want)
		}
	}
	var document struct{ Paths map[string]any }
	body := readAll(t, s.do(t, "GET", "/openapi.json", ""))
	if err := json.Unmarshal([]byte(body), &document); err != nil || document.Paths["/v1/ignite/app/{organizationName}/{appName}/invoke"] == nil {
		t.Errorf("the OpenAPI document has %d bytes and %d paths, %v", len(body), len(document.Paths), err)
	}
}

func TestMetricsAreServedWhereThereAreAny(t *testing.T) {
	t.Parallel()
	wantProblem(t, start(t).do(t, "GET", "/metrics", ""), 404, codes.NotFound)
	s := start(t, func(c *gateway.Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "ignite_up 1\n") })
	})
	response := s.do(t, "GET", "/metrics", "", func(r *http.Request) { r.Header.Del("Authorization") })
	if body := readAll(t, response); response.StatusCode != 200 || body != "ignite_up 1\n" {
		t.Errorf("/metrics answers %d %q", response.StatusCode, body)
	}
}

func TestUnknownPathsAndMethodsAreErrorsInJSON(t *testing.T) {
	t.Parallel()
	s := start(t)
	wantProblem(t, s.do(t, "GET", "/nowhere", ""), 404, codes.NotFound, "/openapi.json")
	wantProblem(t, s.do(t, "GET", "/v1/ignite/app/acme/hello/invoke", ""), 405, codes.Unimplemented, "GET")
	wantProblem(t, s.do(t, "PUT", "/v1/ignite/app/acme", ""), 405, codes.Unimplemented, "PUT")
	wantProblem(t, s.do(t, "POST", "/v1/ignite/executions/x/watch", ""), 405, codes.Unimplemented, "POST")
}

func TestCallsHaveNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	response := s.do(t, "GET", "/v1/ignite/app/acme/none", "", func(r *http.Request) { r.Header.Set("X-Request-Id", "mine-1") })
	if got := response.Header.Get("X-Request-Id"); got != "mine-1" || !strings.Contains(s.log.String(), "request=mine-1") {
		t.Errorf("the call is named %q", got)
	}
	var header metadata.MD
	_, err := s.client.GetApp(s.as(t, "acme"), &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "none"}, grpc.Header(&header))
	wantCode(t, err, codes.NotFound)
	if id := header.Get("x-request-id"); len(id) != 1 || !strings.Contains(s.log.String(), "request="+id[0]) {
		t.Errorf("the call is named %v", id)
	}
	evil := s.do(t, "GET", "/healthz", "", func(r *http.Request) { r.Header.Set("X-Request-Id", strings.Repeat("x", 100)) })
	if got := evil.Header.Get("X-Request-Id"); got == "" || len(got) > 64 {
		t.Errorf("the call is named %q", got)
	}
}

func TestReflectionAndHealthOverGRPC(t *testing.T) {
	t.Parallel()
	s := start(t)
	reflection := must(grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context()))
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}
	if err := reflection.Send(ask); err != nil {
		t.Fatal(err)
	}
	if services := must(reflection.Recv()).String(); !strings.Contains(services, "dodil.ignite.v1.ComputeService") {
		t.Errorf("services are %s", services)
	}
	ask = &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
		FileContainingSymbol: "dodil.ignite.v1.ComputeService",
	}}
	if err := reflection.Send(ask); err != nil {
		t.Fatal(err)
	}
	described := string(must(reflection.Recv()).GetFileDescriptorResponse().GetFileDescriptorProto()[0])
	for _, method := range ignitev1.ComputeService_ServiceDesc.Methods {
		if !strings.Contains(described, method.MethodName) {
			t.Errorf("%s is not described", method.MethodName)
		}
	}
	if err := reflection.CloseSend(); err != nil {
		t.Fatal(err)
	}
	health := grpc_health_v1.NewHealthClient(s.conn)
	for _, service := range []string{"", "dodil.ignite.v1.ComputeService"} {
		status := must(health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})).GetStatus()
		if status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("service %q is %v", service, status)
		}
	}
}

func TestDrainLetsCallsFinish(t *testing.T) {
	t.Parallel()
	s := start(t)
	began, finish := make(chan struct{}, 2), make(chan struct{})
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		<-finish
		_, _ = w.Write([]byte("done"))
	}))
	overGRPC, overHTTP := make(chan frames, 1), make(chan string, 1)
	go func() {
		overGRPC <- s.invoke(t, s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"})
	}()
	go func() { overHTTP <- readAll(t, s.do(t, "POST", helloInvoke, "")) }()
	<-began
	<-began
	s.stop()
	for s.do(t, "GET", "/readyz", "").StatusCode == 200 {
		runtime.Gosched()
	}
	ready := s.do(t, "GET", "/readyz", "")
	if got := readAll(t, ready); ready.StatusCode != 503 || got != "stopping\n" {
		t.Errorf("/readyz answers %d %q", ready.StatusCode, got)
	}
	if health := s.do(t, "GET", "/healthz", ""); health.StatusCode != 200 {
		t.Errorf("/healthz answers %d", health.StatusCode)
	}
	wantProblem(t, s.do(t, "POST", helloInvoke, ""), 503, codes.Unavailable, "stopping")
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme")), 503, codes.Unavailable, "stopping")
	select {
	case <-s.stopped:
		t.Error("Serve returned before the calls did")
	default:
	}
	close(finish)
	if f := <-overGRPC; f.err != nil || f.body() != "done" {
		t.Errorf("the gRPC call ended with %q, %v", f.body(), f.err)
	}
	if body := <-overHTTP; body != "done" {
		t.Errorf("the HTTP call ended with %q", body)
	}
	<-s.stopped
}

// A call whose answer has not begun when the drain time is over is told so.
func TestDrainAnswersWhatItCuts(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *gateway.Config) { c.DrainTime = 50 * time.Millisecond })
	began := make(chan struct{}, 2)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	}))
	invoked, direct := make(chan reply, 1), make(chan reply, 1)
	go func() {
		defer close(invoked) // do ends this goroutine if there is no answer
		invoked <- s.do(t, "POST", helloInvoke, "")
	}()
	go func() {
		defer close(direct)
		direct <- s.do(t, "GET", "/", "", to("hello-acme"))
	}()
	<-began
	<-began
	s.stop()
	for _, answers := range []chan reply{invoked, direct} {
		if answer, ok := <-answers; ok {
			wantProblem(t, answer, 503, codes.Unavailable, "stopping")
		}
	}
	<-s.stopped
}

// A stop that comes before the servers serve is a clean one.
func TestStopBeforeServing(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 10 {
		g := must(gateway.New(s.config))
		ctx, stop := context.WithCancel(t.Context())
		stop()
		grpcListener, httpListener := must(net.Listen("tcp", "127.0.0.1:0")), must(net.Listen("tcp", "127.0.0.1:0"))
		if err := g.Serve(ctx, grpcListener, httpListener); err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func TestDrainCutsWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *gateway.Config) { c.DrainTime = 50 * time.Millisecond })
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/shout" {
			shout(w, r)
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	stream := must(s.client.Invoke(s.as(t, "acme"), &ignitev1.InvokeRequest{OrganizationName: "acme", AppName: "hello"}))
	must(stream.Recv())
	overHTTP := s.do(t, "POST", helloInvoke, "")
	direct := s.do(t, "GET", "/", "", to("hello-acme"))
	upgraded := s.do(t, "GET", "/shout", "", to("hello-acme"), func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "shout")
	})
	s.stop()
	<-s.stopped
	if _, err := stream.Recv(); err == nil {
		t.Error("the gRPC call goes on")
	}
	for _, response := range []reply{overHTTP, direct, upgraded} {
		if n, err := response.Body.Read(make([]byte, 1)); err == nil {
			t.Errorf("an HTTP call goes on with %d bytes", n)
		}
	}
}

// A gateway that can promise nothing says so where it is probed, and goes on when it can again.
func TestReadyOnlyWhenSomethingCanBeAccepted(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	s := start(t, func(c *gateway.Config) {
		c.Ready = func() error {
			if away.Load() {
				return errors.New("nats is away")
			}
			return nil
		}
	})
	for _, want := range []int{200, 503, 200} {
		away.Store(want != 200)
		if got := s.do(t, "GET", "/readyz", "").StatusCode; got != want {
			t.Errorf("/readyz answers %d, want %d", got, want)
		}
		if got := s.do(t, "GET", "/healthz", "").StatusCode; got != 200 {
			t.Errorf("/healthz answers %d: the process lives", got)
		}
	}
}
