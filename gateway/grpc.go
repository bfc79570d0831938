package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"dodil.io/ignite/engine/pod"
	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const (
	// grpcSlack is what a message may hold beside the bytes that are limited.
	grpcSlack = 1 << 20
	// A connection that is silent for keepaliveTime is asked whether it lives, so that watchers that vanished do not stay, and that
	// what stands between, which cuts after a minute as a rule, hears something.
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 20 * time.Second
	// keepaliveFloor is how often clients may ask.
	keepaliveFloor = 10 * time.Second
)

// service fulfils the contract. It is called by grpc-go and by inProcess, after guard.
type service struct {
	// Every method must be there: one that is missing does not compile.
	ignitev1.UnsafeComputeServiceServer
	cfg  Config
	log  *slog.Logger
	pods *pod.Client
	halt *halt
	// begun are the goroutines that finish something for a caller who does not wait for it.
	begun sync.WaitGroup
	// publicPort is what public URLs end in: ":8080", or nothing for the scheme's own port.
	publicPort string
}

func (s *service) HealthCheck(context.Context, *ignitev1.HealthCheckRequest) (*ignitev1.HealthCheckResponse, error) {
	return &ignitev1.HealthCheckResponse{Status: "ok", Version: s.cfg.Version}, nil
}

// newGRPC makes the gRPC server: the service, health and reflection.
func (g *Gateway) newGRPC() *grpc.Server {
	cfg := g.service.cfg
	transport := insecure.NewCredentials()
	if cfg.TLS != nil {
		transport = credentials.NewTLS(cfg.TLS.Clone())
	}
	server := grpc.NewServer(
		grpc.Creds(transport),
		grpc.UnaryInterceptor(g.guard.unary),
		grpc.StreamInterceptor(g.guard.stream),
		// A little over the limits, so that a body that is too large is refused by us, by name.
		grpc.MaxRecvMsgSize(int(max(cfg.MaxPayloadBytes, cfg.MaxCodeBytes)+grpcSlack)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveFloor, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	ignitev1.RegisterComputeServiceServer(server, g.service)
	healthpb.RegisterHealthServer(server, g.health)
	reflection.Register(server)
	return server
}

func newHealth() *health.Server {
	h := health.NewServer()
	h.SetServingStatus(ignitev1.ComputeService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	return h
}
