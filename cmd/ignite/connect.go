package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	// maxMessage bounds one message in either direction.
	maxMessage = 256 << 20

	pingAfter   = 30 * time.Second // a quiet connection is checked, so that a watch does not hang on a dead one
	pingTimeout = 20 * time.Second
)

// connection is a way to the server.
type connection struct {
	api     ignitev1.ComputeServiceClient
	close   func() error
	sent    *atomic.Int64 // bytes handed to the network so far
	timeout time.Duration // of one request; 0 is no limit
}

// connect prepares a connection; the network is first used by the first request.
func (c *client) connect() (*connection, error) {
	current, err := c.settings()
	if err != nil {
		return nil, err
	}
	if current.token.value == "" {
		return nil, status.Error(codes.Unauthenticated, "there is no token to call the server with")
	}
	address, encrypted, err := parseEndpoint(current.endpoint.value)
	if err != nil {
		return nil, err
	}
	transport := credentials.NewTLS(nil)
	if !encrypted || c.plaintext() {
		transport = insecure.NewCredentials()
	}
	c.endpoint = address
	sent := new(atomic.Int64)
	conn, err := grpc.NewClient(c.endpoint,
		grpc.WithTransportCredentials(countingCredentials{transport, sent}),
		grpc.WithPerRPCCredentials(bearer(current.token.value)),
		grpc.WithUserAgent("ignite/"+clientVersion()),
		grpc.WithChainUnaryInterceptor(c.repeat),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.endpoint, err)
	}
	return &connection{
		api: ignitev1.NewComputeServiceClient(conn), close: conn.Close, sent: sent, timeout: c.flags.timeout,
	}, nil
}

func (c *client) plaintext() bool {
	wanted, err := strconv.ParseBool(c.getenv("IGNITE_DEBUG"))
	return c.flags.debug || (err == nil && wanted)
}

// parseEndpoint says where the server is, and whether the connection to it is encrypted: if it leaves this machine, or if the endpoint
// says https.
func parseEndpoint(endpoint string) (address string, encrypted bool, err error) {
	address, encrypted = strings.CutPrefix(endpoint, "https://")
	near, err := loopback(address)
	return address, encrypted || !near, err
}

// loopback says whether endpoint is on this machine, where a connection needs no TLS.
func loopback(endpoint string) (bool, error) {
	host, port, err := net.SplitHostPort(endpoint)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		return false, usagef("the API endpoint %q is not of the form host:port, such as %s", endpoint, defaultEndpoint)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback()), nil
}

// withConnection runs work with a connection that is closed after it.
func (c *client) withConnection(work func(*connection) error) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = conn.close() }() // every answer has been read by now
	return work(conn)
}

// method is a unary method of the service, such as ignitev1.ComputeServiceClient.GetApp.
type method[Request, Answer any] func(
	ignitev1.ComputeServiceClient, context.Context, Request, ...grpc.CallOption,
) (Answer, error)

// ask makes one request, with its repetitions, within the time that one request may take.
func ask[Request, Answer any](
	ctx context.Context, conn *connection, call method[Request, Answer], request Request,
) (Answer, error) {
	if conn.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, conn.timeout)
		defer cancel()
	}
	return call(conn.api, ctx, request)
}

// askOnce is ask for a command that needs nothing else of the server.
func askOnce[Request, Answer any](
	ctx context.Context, c *client, call method[Request, Answer], request Request,
) (answer Answer, err error) {
	err = c.withConnection(func(conn *connection) error {
		answer, err = ask(ctx, conn, call, request)
		return err
	})
	return answer, err
}

// streamContext bounds a stream only if the user asked for it: how long a call or an execution may take is the app's
// affair, and the server's clocks end both.
func (c *client) streamContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.flags.timeGiven && c.flags.timeout > 0 {
		return context.WithTimeout(ctx, c.flags.timeout)
	}
	return context.WithCancel(ctx)
}

// bearer is a token as a call's credentials. Whether it may travel without TLS was decided by whoever chose the
// transport: on loopback, or by --debug.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// countingCredentials count what is written to a connection. A stats.Handler or an interceptor would see a unary
// request only as a whole, and so could not move a progress bar; counting above TLS leaves gRPC its dialer and proxies.
type countingCredentials struct {
	credentials.TransportCredentials
	sent *atomic.Int64
}

func (c countingCredentials) ClientHandshake(
	ctx context.Context, authority string, raw net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return countingConn{conn, c.sent}, info, nil
}

func (c countingCredentials) Clone() credentials.TransportCredentials {
	return countingCredentials{c.TransportCredentials.Clone(), c.sent}
}

type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countingConn) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	c.sent.Add(int64(n))
	return n, err
}
