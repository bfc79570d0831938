package probe_test

import (
	"net"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"

	"dodil.io/ignite/engine/pod/probe"
)

func TestProgramThatSpeaksOnlyGRPCIsReady(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	p := probe.Pod{
		Addr: &url.URL{Scheme: "http", Host: listener.Addr().String()}, HealthPath: "/healthz", HealthOptional: true,
		ListenLimit: time.Minute, Exited: make(chan struct{}),
	}
	if err := p.Await(t.Context()); err != nil {
		t.Error(err)
	}
}
