package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"dodil.io/ignite/engine"
	"dodil.io/ignite/engine/build"
	"dodil.io/ignite/engine/pod/process"
	"dodil.io/ignite/gateway"
	"dodil.io/ignite/gateway/auth"
	"dodil.io/ignite/proto/openapi"
	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/embed"
)

// system is everything that was opened, in the order of opening.
type system struct {
	config  Config
	logger  *slog.Logger
	nats    *natsServers
	streams *stream.Stream
	store   *store.Store
	pods    *drivers
	engine  *engine.Engine
	gateway *gateway.Gateway
	http    net.Listener
	grpc    net.Listener
	// tls encrypts both listeners; nil does not. certificates is nil unless they are fetched.
	tls          *tls.Config
	certificates *certificates
}

func open(ctx context.Context, config Config, logger *slog.Logger) (s *system, err error) {
	s = &system{config: config, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, step := range []struct {
		what string
		open func(context.Context) error
	}{
		{"make the data folder", s.makeDataDir},
		{"open NATS", s.openNATS},
		{"open the streams", s.openStreams},
		{"open the store", s.openStore},
		{"open the pod driver", s.openPods},
		{"read certificates", s.openTLS},
		{"make the engine and the gateway", s.makeServices},
		{"listen", s.listen},
	} {
		if err := step.open(ctx); err != nil {
			return s, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return s, nil
}

func (s *system) makeDataDir(context.Context) error {
	if err := os.MkdirAll(s.config.DataDir, 0o700); err != nil {
		return s.dataDirFault(err)
	}
	return nil
}

// dataDirFault names the setting to change.
func (s *system) dataDirFault(err error) error {
	return fmt.Errorf("%s (--%s) %s: %w", envName("data_dir"), flagName("data_dir"), s.config.DataDir, err)
}

func (s *system) openNATS(ctx context.Context) (err error) {
	s.nats, err = openNATS(ctx, s.config.NATS, filepath.Join(s.config.DataDir, "nats"), s.logger)
	if errors.Is(err, embed.ErrInUse) || errors.Is(err, fs.ErrPermission) {
		return s.dataDirFault(err)
	}
	return err
}

func (s *system) openStreams(ctx context.Context) (err error) {
	s.streams, err = stream.Open(ctx, stream.Options{
		Conn: s.nats.conn, Replicas: s.config.NATS.Replicas, Retention: s.config.Engine.ExecutionRetention, Logger: s.logger,
		MaxWorkBytes: s.config.NATS.part(), MaxOutputBytes: s.config.NATS.part(),
	})
	return explainRoom(err)
}

func (s *system) openStore(ctx context.Context) (err error) {
	s.store, err = store.Open(ctx, store.Options{
		Conn: s.nats.conn, Sync: s.nats.sync, Replicas: s.config.NATS.Replicas, Retention: s.config.Engine.ExecutionRetention, Logger: s.logger,
		MaxBytes: s.config.NATS.part(),
	})
	return explainRoom(err)
}

func (s *system) openPods(ctx context.Context) error {
	driver, err := process.New(process.Options{
		Dir: filepath.Join(s.config.DataDir, "pods"), ListenLimit: s.config.Engine.ListenLimit,
		Sandbox: process.Sandbox(s.config.Pods.Sandbox), Hidden: []string{s.config.DataDir}, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.pods, err = openDrivers(ctx, s.config, driver, s.logger)
	return err
}

func (s *system) makeServices(context.Context) error {
	builder, err := build.Open(build.Config{
		Dir: filepath.Join(s.config.DataDir, "code"), MaxUnpackedBytes: s.config.Gateway.MaxUnpackedBytes,
		Images: s.pods.images(),
	})
	if err != nil {
		return err
	}
	metrics := newMetrics()
	engineReached, gatewayReached := reached()
	s.engine, err = engine.New(engine.Config{
		Store: s.store, Stream: s.streams, Driver: s.pods, Provisioner: builder, Worker: workerName(),
		Reserved: s.store.Reserved, TakeWork: s.config.HasRole(roleWorker), ColdStartBudget: s.config.Engine.ColdStartBudget,
		MaxResultBytes: s.config.Gateway.MaxPayloadBytes, DrainTime: s.config.Engine.DrainTime,
		MaxPlatformFailures: s.config.Engine.MaxPlatformFailures, ReapAfter: s.config.Engine.ReapAfter,
		MaxHeld: s.config.Pods.MaxHeld, MaxHeldAll: s.config.Pods.MaxHeldAll, MaxHeldBytes: s.config.Pods.MaxHeldBytes / 4,
		MaxHeldBytesAll: s.config.Pods.MaxHeldBytes, MaxReplicas: s.config.Pods.MaxReplicas, LeastScaledown: s.config.Pods.LeastScaledown,
		IdleTeardown: s.config.Pods.IdleTeardown, WarmPoolBytes: s.config.Pods.WarmPoolBytes,
		Metrics: metrics, Reached: engineReached, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.nats.conn.SetReconnectHandler(s.reconnected)
	if !s.config.HasRole(roleGateway) {
		return nil
	}
	verifier, err := newVerifier(s.config)
	if err != nil {
		return err
	}
	s.gateway, err = gateway.New(gateway.Config{
		Store: s.store, Stream: s.streams, Dispatcher: s.engine, Builder: builder, Verifier: verifier,
		OpenAPI: openapi.Document, BaseDomain: s.config.Gateway.BaseDomain, MaxPayloadBytes: s.config.Gateway.MaxPayloadBytes,
		MaxCodeBytes: s.config.Gateway.MaxCodeBytes, ColdStartBudget: s.config.Engine.ColdStartBudget,
		MaxReplicas: uint32(s.config.Pods.MaxReplicas), LeastScaledown: s.config.Pods.LeastScaledown,
		DrainTime: s.config.Engine.DrainTime, Ready: s.nats.ready, Version: version, Metrics: metricsHandler(metrics), Registry: metrics,
		TLS:     s.tls,
		Reached: gatewayReached, Logger: s.logger,
	})
	return err
}

// reconnected looks for the work that was enqueued elsewhere while this process could not hear of it.
func (s *system) reconnected(conn *nats.Conn) {
	s.logger.LogAttrs(context.Background(), slog.LevelInfo, "nats reconnected", slog.String("server", conn.ConnectedServerName()))
	s.engine.Sweep()
}

// rememberedTokens is how many verified tokens are kept, so that a caller who calls often is verified once.
const rememberedTokens = 4096

// newVerifier accepts tokens signed with the key in the data folder, and those of the provider if one is named.
func newVerifier(config Config) (auth.Verifier, error) {
	key, err := auth.LoadOrCreateKey(keyPath(config.DataDir))
	if err != nil {
		return nil, err
	}
	issuers := []auth.Issuer{auth.NewStatic(key)}
	if config.OIDC.Issuer != "" {
		provider, err := auth.NewOIDC(auth.OIDCConfig{Issuer: config.OIDC.Issuer, Audience: config.OIDC.Audience})
		if err != nil {
			return nil, err
		}
		issuers = append(issuers, provider)
	}
	return auth.Cached(auth.Any(issuers...), rememberedTokens), nil
}

// workerName is unique in the installation: hosts may share a name, and a restarted process is another worker.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "-" + ulid.Make().String()
}

func (s *system) listen(ctx context.Context) (err error) {
	if !s.config.HasRole(roleGateway) {
		return nil
	}
	var listen net.ListenConfig
	if s.http, err = listen.Listen(ctx, "tcp", s.config.Gateway.HTTPListenAddr); err != nil {
		return fmt.Errorf("%s (--%s): %w", envName("http_listen_addr"), flagName("http_listen_addr"), err)
	}
	if s.certificates != nil {
		s.certificates.answerAt(s.http.Addr())
	}
	if s.grpc, err = listen.Listen(ctx, "tcp", s.config.Gateway.APIListenAddr); err != nil {
		return fmt.Errorf("%s (--%s): %w", envName("api_listen_addr"), flagName("api_listen_addr"), err)
	}
	return nil
}

// close undoes open, as far as that went.
func (s *system) close() error {
	var faults []error
	for _, listener := range []net.Listener{s.http, s.grpc} {
		if listener != nil {
			_ = listener.Close() // Serve has closed it, unless it never came to that
		}
	}
	if s.pods != nil {
		faults = append(faults, s.closePods())
	}
	if s.certificates != nil {
		s.certificates.cache.Stop()
	}
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	if s.streams != nil {
		faults = append(faults, s.streams.Close())
	}
	if s.nats != nil {
		faults = append(faults, s.nats.close())
	}
	return errors.Join(faults...)
}

func (s *system) closePods() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return s.pods.Close(ctx)
}
