package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/embed"
)

// closeTime bounds the end of the server inside; it syncs its files, which takes a moment for each that was busy.
const closeTime = time.Minute

// storeParts is in how many parts of equal size the room for everything is cut: one for waiting work, half a one each for delayed work
// and for dead letters, one for output, and up to four for the buckets of the store.
const storeParts = 7

// part is the cap of one part, or 0 for the default of stream and store.
func (c NATSConfig) part() int64 { return c.MaxStoreBytes / storeParts }

// defaultRoom is about what all parts take together if nothing is set.
const defaultRoom = 50 << 30

// explainRoom says what to do when JetStream cannot set the caps aside, which it does as soon as a stream is made.
func explainRoom(err error) error {
	if errors.Is(err, stream.ErrFull) || errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w (JetStream sets aside what streams and buckets may take, some %d GiB if nothing is set: let %s say how much it has)",
			err, defaultRoom>>30, envName("max_store_bytes"))
	}
	return err
}

// natsServers is where streams and buckets live: a server inside this process, or those at a URL.
type natsServers struct {
	inside *embed.Server // nil if they are at a URL
	conn   *nats.Conn
	// sync is what a promise to a caller waits for; nil trusts JetStream's acknowledgement.
	sync func(context.Context) error
}

func openNATS(ctx context.Context, config NATSConfig, dir string, logger *slog.Logger) (*natsServers, error) {
	if config.URL != "" {
		return connectNATS(ctx, config, logger)
	}
	mode := embed.SyncGroup
	if config.Sync == syncInterval {
		mode = embed.SyncInterval
	}
	inside, err := embed.Open(ctx, embed.Options{
		StoreDir: dir, ListenAddr: config.ListenAddr, Sync: mode, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	conn, err := inside.Connect("ignited")
	if err != nil {
		return nil, errors.Join(err, inside.Close(ctx))
	}
	found := []slog.Attr{slog.String("sync", config.Sync)}
	if url := inside.URL(); url != "" {
		found = append(found, slog.String("url", url))
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "nats runs inside", found...)
	return &natsServers{inside: inside, conn: conn, sync: inside.Sync}, nil
}

// connectNATS fails if no server answers now; later it reconnects for as long as it takes. What is sent while it is disconnected fails at
// once: nats.go would keep it and send it later, when whoever asked for it was told long ago that it did not happen.
func connectNATS(ctx context.Context, config NATSConfig, logger *slog.Logger) (*natsServers, error) {
	options := []nats.Option{
		nats.Name("ignited"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.PingInterval(10 * time.Second),
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			logger.WarnContext(ctx, "nats disconnected", slog.Any("error", err))
		}),
	}
	if config.Creds != "" {
		options = append(options, nats.UserCredentials(config.Creds))
	}
	conn, err := nats.Connect(config.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to IGNITE_NATS_URL: %w", err)
	}
	logFound(ctx, conn, config.Replicas, logger)
	return &natsServers{conn: conn}, nil
}

// logFound says what an acknowledgement is worth with these servers. How a server syncs cannot be asked of it.
func logFound(ctx context.Context, conn *nats.Conn, replicas int, logger *slog.Logger) {
	promise := "an acknowledgement is on disk only if the server has sync_interval: always"
	if replicas > 1 {
		promise = "an acknowledgement is stored by a majority of the replicas"
	}
	logger.InfoContext(ctx, "nats runs outside", slog.String("server", conn.ConnectedServerName()), slog.String("cluster", conn.ConnectedClusterName()),
		slog.String("server_version", conn.ConnectedServerVersion()), slog.Int("replicas", replicas), slog.String("durability", promise))
}

// flush waits until what was sent has arrived, unless there is nobody to send to: a connection that is away would be waited for.
func (n *natsServers) flush(ctx context.Context) error {
	if !n.conn.IsConnected() {
		return nil
	}
	err := n.conn.FlushWithContext(ctx)
	if err == nil || !n.conn.IsConnected() {
		return nil
	}
	return fmt.Errorf("flush to NATS: %w", err)
}

// ready says why nothing can be promised now.
func (n *natsServers) ready() error {
	if !n.conn.IsConnected() {
		return errors.New("nats is away")
	}
	if n.inside == nil {
		return nil
	}
	return n.inside.Failed()
}

// close flushes what is under way and ends the connection, and the server if it is inside.
func (n *natsServers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := n.flush(ctx)
	n.conn.Close()
	if n.inside == nil {
		return err
	}
	return errors.Join(err, n.inside.Close(ctx))
}
