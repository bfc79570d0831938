// Package embed runs a nats-server with JetStream inside our process. It is the only importer of nats-server.
//
// JetStream acknowledges a write once the operating system has it: that survives a kill of the process, not a loss of
// power. So the server here commits in groups: whoever promises something to somebody calls Sync after the
// acknowledgement and before the promise, and all who wait share one sync of the disk.
package embed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var (
	// ErrInUse says that another process, or another Server of this one, works on the folder.
	ErrInUse = errors.New("store folder is in use by another server")
	// ErrClosed says that the server was closed before the sync that was waited for.
	ErrClosed = errors.New("embedded server is closed")
	// ErrNotDurable says that a sync of the disk failed. What was written since the last good one may be lost, and
	// the operating system will not report it again, so every later Sync of this Server fails too.
	ErrNotDurable = errors.New("store could not be synced to disk")
)

// SyncMode says what Sync waits for.
type SyncMode string

const (
	// SyncGroup makes Sync wait for a sync of the disk that it shares with all who wait. It is the default.
	SyncGroup SyncMode = "group"
	// SyncInterval leaves syncing to a timer: Sync returns at once, and a loss of power loses what was
	// acknowledged in the last interval.
	SyncInterval SyncMode = "interval"
)

const (
	// interval bounds what SyncInterval may lose. Shorter ones cost hardly more, so there is no reason for minutes.
	interval = 100 * time.Millisecond
	// pingInterval, twice, is how long the work of a host that vanished is held back.
	pingInterval = 10 * time.Second
	// noLimit leaves the caps to the streams. A cap of the server's own would refuse streams whose caps
	// together exceed it, even while the disk is empty.
	noLimit = 1 << 50
)

// Options says where the server keeps its streams. The zero value of every field but StoreDir works.
type Options struct {
	// StoreDir is made if it is missing. On Linux a Sync syncs its whole file system.
	StoreDir string
	// MaxStore caps the sum of all streams' caps, in bytes; 0 leaves the caps to the streams.
	MaxStore int64
	// ListenAddr lets other processes of this machine connect, as the nats command does. It has no
	// authentication: give it a loopback address. Empty means connections within the process only.
	ListenAddr string
	// Sync is SyncGroup if empty.
	Sync   SyncMode
	Logger *slog.Logger
}

// Server is a running nats-server. All its methods may be called concurrently.
type Server struct {
	server    *server.Server
	committer *committer
	logger    *slog.Logger
	lock      *os.File
}

// Open starts a server on o.StoreDir and returns once it takes connections and every stream is recovered.
// The recovery itself cannot be cut short; when ctx has ended by then, the server is stopped again.
// ErrInUse if another server has the folder.
func Open(ctx context.Context, o Options) (*Server, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	settings, err := settings(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("make store folder: %w", err)
	}
	lock, err := lockFolder(filepath.Join(o.StoreDir, "lock"))
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, o, settings)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

func start(ctx context.Context, o Options, settings *server.Options) (*Server, error) {
	committer, err := openCommitter(o)
	if err != nil {
		return nil, err
	}
	s := &Server{committer: committer, logger: o.Logger}
	if s.server, err = launch(ctx, settings, o.Logger); err != nil {
		return nil, errors.Join(err, committer.close())
	}
	return s, nil
}

// launch starts nats-server, which reports a failed start to its logger only.
func launch(ctx context.Context, settings *server.Options, logger *slog.Logger) (*server.Server, error) {
	natsServer, err := server.NewServer(settings)
	if err != nil {
		return nil, fmt.Errorf("configure nats-server: %w", err)
	}
	log := &serverLog{logger: logger}
	natsServer.SetLoggerV2(log, false, false, false)
	natsServer.Start()
	if err := cmp.Or(log.fatal(), ctx.Err()); err != nil {
		natsServer.Shutdown()
		natsServer.WaitForShutdown()
		return nil, fmt.Errorf("start nats-server: %w", err)
	}
	return natsServer, nil
}

func settings(o Options) (*server.Options, error) {
	settings := &server.Options{
		ServerName:             "ignite",
		DontListen:             o.ListenAddr == "",
		NoSigs:                 true,
		PingInterval:           pingInterval,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               o.StoreDir,
		JetStreamMaxStore:      cmp.Or(o.MaxStore, noLimit),
		JetStreamLimits:        server.JSLimitOpts{DefaultMaxConsumers: -1},
	}
	switch cmp.Or(o.Sync, SyncGroup) {
	case SyncGroup:
		settings.SyncAlways = !canSyncGroups
	case SyncInterval:
		settings.SyncInterval = interval
	default:
		return nil, fmt.Errorf("sync mode %q is neither %q nor %q", o.Sync, SyncGroup, SyncInterval)
	}
	if o.StoreDir == "" {
		return nil, errors.New("store folder is not set")
	}
	if o.ListenAddr == "" {
		return settings, nil
	}
	return settings, listenOn(settings, o.ListenAddr)
}

func listenOn(settings *server.Options, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	settings.Host = host
	if settings.Port, err = strconv.Atoi(port); err != nil {
		return fmt.Errorf("listen address %q: port is not a number", addr)
	}
	if settings.Port == 0 {
		settings.Port = server.RANDOM_PORT
	}
	return nil
}

// URL is where other processes connect to; empty if they cannot.
func (s *Server) URL() string {
	if addr := s.server.Addr(); addr != nil {
		return "nats://" + addr.String()
	}
	return ""
}

// InProcessConn makes a Server a nats.InProcessConnProvider. Writes to the connection are buffered, as a socket's are.
func (s *Server) InProcessConn() (net.Conn, error) {
	conn, err := s.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return newPipe(conn), nil
}

// Connect answers a connection within the process. It never gives up reconnecting; the caller closes it, before the Server.
func (s *Server) Connect(name string) (*nats.Conn, error) {
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.Name(name), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 0),
		nats.ErrorHandler(s.logConnError))
	if err != nil {
		return nil, fmt.Errorf("connect to embedded server: %w", err)
	}
	return conn, nil
}

func (s *Server) logConnError(_ *nats.Conn, sub *nats.Subscription, err error) {
	attrs := []slog.Attr{slog.Any("error", err)}
	if sub != nil {
		attrs = append(attrs, slog.String("subject", sub.Subject))
	}
	s.logger.LogAttrs(context.Background(), slog.LevelWarn, "nats connection reported an error", attrs...)
}

// Close stops the server and returns once its files are closed, which syncs them. If ctx ends first the stop
// goes on in the background and the folder stays locked until it is done. Close is called once.
func (s *Server) Close(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		done <- errors.Join(s.committer.close(), s.lock.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop embedded server: %w", context.Cause(ctx))
	}
}
