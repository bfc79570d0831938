package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"dodil.io/ignite/gateway/proxy"
)

// serveGRPC runs a server whose every method is answered by handler, and answers a connection to it through a proxy.
func serveGRPC(t *testing.T, handler grpc.StreamHandler, change ...func(*proxy.Call)) (*setup, *grpc.ClientConn) {
	t.Helper()
	server := grpc.NewServer(grpc.UnknownServiceHandler(handler))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	s := startTo(t, listener.Addr().String(), change...)
	conn := must(grpc.NewClient("passthrough:///"+strings.TrimPrefix(s.front, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() { _ = conn.Close() })
	return s, conn
}

// echo answers each message before the next one comes.
func echo(_ any, stream grpc.ServerStream) error {
	in, _ := metadata.FromIncomingContext(stream.Context())
	if err := stream.SendHeader(metadata.Pairs("x-seen", fmt.Sprint(in.Get("x-mine")))); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("x-late", "1"))
	for {
		message := &wrapperspb.StringValue{}
		err := stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if message.GetValue() == "fail" {
			return status.Error(codes.DataLoss, "you said so")
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

var both = &grpc.StreamDesc{StreamName: "Both", ServerStreams: true, ClientStreams: true}

func TestGRPCStreamsBothWays(t *testing.T) {
	t.Parallel()
	_, conn := serveGRPC(t, echo)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-mine", "here")
	stream := must(conn.NewStream(ctx, both, "/test.Service/Both"))
	if header := must(stream.Header()); fmt.Sprint(header.Get("x-seen")) != "[[here]]" {
		t.Errorf("header is %v", header)
	}
	answer := &wrapperspb.StringValue{}
	for i := range 3 {
		said := strings.Repeat("x", 1+i*100_000)
		if err := stream.SendMsg(wrapperspb.String(said)); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(answer); err != nil || answer.GetValue() != said {
			t.Fatalf("answer has %d bytes, %v", len(answer.GetValue()), err)
		}
	}
	_ = stream.CloseSend()
	if err := stream.RecvMsg(answer); !errors.Is(err, io.EOF) || stream.Trailer().Get("x-late")[0] != "1" {
		t.Errorf("it ended with %v and %v", err, stream.Trailer())
	}
}

func TestGRPCStatusComesThrough(t *testing.T) {
	t.Parallel()
	_, conn := serveGRPC(t, func(server any, stream grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "AtOnce") {
			return status.Error(codes.NotFound, "nothing here")
		}
		return echo(server, stream)
	})
	answer := &wrapperspb.StringValue{}
	if err := conn.Invoke(t.Context(), "/test.Service/AtOnce", wrapperspb.String(""), answer); status.Code(err) != codes.NotFound {
		t.Errorf("it ended with %v", err)
	}
	if err := conn.Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String("fail"), answer); status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), "you said so") {
		t.Errorf("it ended with %v", err)
	}
	if err := conn.Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String("hello"), answer); err != nil || answer.GetValue() != "hello" {
		t.Errorf("answer is %q, %v", answer.GetValue(), err)
	}
}

func TestWhatEndsAGRPCCall(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{}, 1)
	wait := func(_ any, stream grpc.ServerStream) error {
		<-stream.Context().Done()
		cut <- struct{}{}
		return nil
	}
	t.Run("its time", func(t *testing.T) {
		t.Parallel()
		s, conn := serveGRPC(t, wait, func(c *proxy.Call) { c.Timeout = 50 * time.Millisecond })
		if err := conn.Invoke(t.Context(), "/test.Service/Unary", wrapperspb.String(""), &wrapperspb.StringValue{}); status.Code(err) != codes.Unavailable {
			t.Errorf("it ended with %v", err)
		}
		s.wants(t, proxy.ErrTimeout, 0)
	})
	t.Run("its server", func(t *testing.T) {
		t.Parallel()
		gone := make(chan struct{})
		s, conn := serveGRPC(t, echo, func(c *proxy.Call) { c.Gone = gone })
		stream := must(conn.NewStream(t.Context(), both, "/test.Service/Both"))
		must(stream.Header())
		close(gone)
		if err := stream.RecvMsg(&wrapperspb.StringValue{}); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("it ended with %v", err)
		}
		s.wants(t, proxy.ErrGone, 200)
	})
	t.Run("its caller", func(t *testing.T) {
		t.Parallel()
		s, conn := serveGRPC(t, echo)
		ctx, cancel := context.WithCancel(t.Context())
		must(must(conn.NewStream(ctx, both, "/test.Service/Both")).Header())
		cancel()
		s.wants(t, context.Canceled, 200)
	})
}
