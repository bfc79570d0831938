package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// The tests of this file are named after the sentences of the specification's page "Direct FQDN invocation".

// create makes an app with ports and a compiled draft.
func (s *setup) create(t *testing.T, org, name string, ports ...uint32) {
	t.Helper()
	code := &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Compile{Compile: &ignitev1.CompileSource{
		Runtime:    &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}},
		SourceCode: []byte("archive of " + name),
	}}}
	must(s.client.CreateApp(s.as(t, org), &ignitev1.CreateAppRequest{OrganizationName: org, Name: name, Code: code, Ports: ports}))
}

func (s *setup) publishApp(t *testing.T, org, name string) (*ignitev1.AppMeta, error) {
	t.Helper()
	published, err := s.client.PublishDraft(s.as(t, org), &ignitev1.PublishDraftRequest{OrganizationName: org, AppName: name})
	return published.GetApp(), err
}

func TestEveryPublishedAppGetsOnePublicURLPerDeclaredPort(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := store.AppRef{Org: "acme", Name: "hello"}
	s.create(t, "acme", "hello", 8080, 80, 9090)
	must(s.publishApp(t, "acme", "hello"))
	s.pods.serve(t, ref, http.NotFoundHandler())
	for port, label := range map[uint32]string{8080: "hello-acme-8080", 80: "hello-acme"} {
		s.pods.servePort(t, ref, port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "%s", label) }))
	}
	for _, label := range []string{"hello-acme-8080", "hello-acme"} {
		if got := readAll(t, s.do(t, "GET", "/", "", to(label))); got != label {
			t.Errorf("%s is answered by %s", label, got)
		}
	}
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme-9090")), 502, codes.Unavailable, "port 9090", "acme/hello")
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme-81")), 404, codes.NotFound)
}

func TestFormatOfPublicURLs(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, want := range map[string]string{"plain": "plain-acme", "dotted.name": "dotted-dot-name-acme"} {
		s.create(t, "acme", name, 80, 8080)
		app := must(s.publishApp(t, "acme", name))
		suffix := "." + testDomain + ":" + must(url.Parse("http://"+s.api)).Port()
		if urls := app.GetPublicUrls(); !reflect.DeepEqual(urls, []string{"http://" + want + suffix, "http://" + want + "-8080" + suffix}) {
			t.Errorf("%s has %v", name, urls)
		}
	}
}

func TestPublicURLsArePopulatedOnlyAfterTheFirstPublishInPortsOrder(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.create(t, "acme", "hello", 9090, 80, 8080)
	before := must(s.client.GetApp(s.as(t, "acme"), &ignitev1.GetAppRequest{OrganizationName: "acme", AppName: "hello"})).GetApp()
	if urls := before.GetPublicUrls(); len(urls) != 0 {
		t.Errorf("before it is published: %v", urls)
	}
	var labels []string
	for _, u := range must(s.publishApp(t, "acme", "hello")).GetPublicUrls() {
		label, _, _ := strings.Cut(must(url.Parse(u)).Host, ".")
		labels = append(labels, label)
	}
	if !reflect.DeepEqual(labels, []string{"hello-acme-9090", "hello-acme", "hello-acme-8080"}) {
		t.Errorf("labels are %v", labels)
	}
}

func TestNamesThatCollideAreRefusedAtPublishWithBothPortsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.create(t, "8080", "a-b", 80)
	s.create(t, "b", "a", 8080)
	must(s.publishApp(t, "8080", "a-b"))
	_, err := s.publishApp(t, "b", "a")
	wantCode(t, err, codes.AlreadyExists, "a-b-8080", "port 80 of app 8080/a-b", "port 8080 of app b/a")
	if app := must(s.client.GetApp(s.as(t, "b"), &ignitev1.GetAppRequest{OrganizationName: "b", AppName: "a"})).GetApp(); len(app.GetPublicUrls()) != 0 {
		t.Errorf("the app that was refused has %v", app.GetPublicUrls())
	}
}

func TestDirectFQDNsValidateTheTokenAndEnforceOrgMatch(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing("")), 401, codes.Unauthenticated)
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-acme"), bearing("Bearer "+s.token("other"))), 403, codes.PermissionDenied)
}

func TestAnyAuthenticatedCallerMayInvokeAppsInThePublicOrg(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "public", "hello", http.HandlerFunc(echo))
	if response := s.do(t, "GET", "/", "", to("hello-public"), bearing("Bearer "+s.token("other"))); response.StatusCode != 418 {
		t.Errorf("answer is %d", response.StatusCode)
	}
	wantProblem(t, s.do(t, "GET", "/", "", to("hello-public"), bearing("")), 401, codes.Unauthenticated)
}

func TestDirectCallHasNoExecutionRecord(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := make(chan string, 1)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ids <- r.Header.Get("X-Ignite-Execution-Id") }))
	s.do(t, "GET", "/", "", to("hello-acme"))
	wantProblem(t, s.do(t, "GET", "/v1/ignite/executions/"+<-ids, ""), 404, codes.NotFound)
}

func TestCallerThatLeavesFreesItsPlace(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(echo))
	waiting, left := make(chan struct{}), make(chan struct{})
	s.pods.set(func(p *pods) {
		p.holding = func(ctx context.Context) error {
			close(waiting)
			<-ctx.Done()
			close(left)
			return ctx.Err()
		}
	})
	conn := must(net.Dial("tcp", s.api))
	say(conn, "GET / HTTP/1.1\r\nHost: hello-acme.apps.test\r\nAuthorization: Bearer %s\r\n\r\n", s.token("acme"))
	<-waiting
	_ = conn.Close()
	<-left
	s.usage(t, counts{AppID: "acme/hello", Answered: "0", Left: "1", Failed: "0"})
}

func TestWebSocketThroughItsHostName(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, bytes.ToUpper(data)) != nil {
				return
			}
		}
	}))
	conn, _, err := websocket.Dial(t.Context(), "http://"+s.api, &websocket.DialOptions{
		Host: "hello-acme." + testDomain, HTTPHeader: http.Header{"Authorization": {"Bearer " + s.token("acme")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(t.Context()); string(got) != "HELLO" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestHTTP2InTheClear(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		say(w, "%s %s", r.Header.Get("X-Forwarded-Host"), body)
	}))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	r := must(http.NewRequestWithContext(t.Context(), "PUT", "http://"+s.api+"/", strings.NewReader("two")))
	r.Host = "hello-acme." + testDomain
	r.Header.Set("Authorization", "Bearer "+s.token("acme"))
	response := must(transport.RoundTrip(r))
	defer func() { _ = response.Body.Close() }()
	if body := must(io.ReadAll(response.Body)); string(body) != "hello-acme.apps.test two" || response.ProtoMajor != 2 {
		t.Errorf("answer over %s is %q", response.Proto, body)
	}
}

func TestAppsThatSpeakGRPC(t *testing.T) {
	t.Parallel()
	s := start(t)
	ref := s.publish(t, "acme", "hello", http.NotFoundHandler())
	server := grpc.NewServer()
	service := health.NewServer()
	healthpb.RegisterHealthServer(server, service)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	s.pods.set(func(p *pods) { p.apps[ref] = &url.URL{Scheme: "http", Host: listener.Addr().String()} })
	conn := must(grpc.NewClient("passthrough:///"+s.api, grpc.WithAuthority("hello-acme."+testDomain), grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() { _ = conn.Close() })
	client := healthpb.NewHealthClient(conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token("acme"))
	if answer, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("answer is %v, %v", answer, err)
	}
	watch := must(client.Watch(ctx, &healthpb.HealthCheckRequest{Service: "x"}))
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVICE_UNKNOWN, healthpb.HealthCheckResponse_SERVING} {
		if got := must(watch.Recv()); got.GetStatus() != want {
			t.Errorf("watch says %v, want %v", got.GetStatus(), want)
		}
		service.SetServingStatus("x", healthpb.HealthCheckResponse_SERVING)
	}
	_, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"})
	wantCode(t, err, codes.NotFound, "unknown service")
	// What the gateway refuses is a gRPC status, too.
	_, err = client.Check(t.Context(), &healthpb.HealthCheckRequest{})
	wantCode(t, err, codes.Unauthenticated, "a valid bearer token is required: send `Authorization")
	s.pods.set(func(p *pods) { p.apps[ref] = closedPort(t) })
	if _, err = client.Check(ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("error is %v", err)
	}
}

func TestEarlyHintsAndTrailersThroughItsHostName(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.publish(t, "acme", "hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		say(w, "done")
		w.Header().Set("X-Sum", "4")
	}))
	conn := must(net.Dial("tcp", s.api))
	t.Cleanup(func() { _ = conn.Close() })
	say(conn, "GET / HTTP/1.1\r\nHost: hello-acme.apps.test\r\nAuthorization: Bearer %s\r\n\r\n", s.token("acme"))
	reader := bufio.NewReader(conn)
	early := must(http.ReadResponse(reader, nil))
	_ = early.Body.Close() // it has none
	if early.StatusCode != http.StatusEarlyHints || early.Header.Get("Link") == "" {
		t.Errorf("first came %d with %v", early.StatusCode, early.Header)
	}
	response := must(http.ReadResponse(reader, nil))
	if body := must(io.ReadAll(response.Body)); string(body) != "done" || response.Trailer.Get("X-Sum") != "4" {
		t.Errorf("answer is %q with trailers %v", body, response.Trailer)
	}
	_ = response.Body.Close()
}
