package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream/embed"
)

// tryOpen opens everything on config and closes it again.
func tryOpen(t *testing.T, config Config) error {
	t.Helper()
	config.Gateway.HTTPListenAddr, config.Gateway.APIListenAddr = "127.0.0.1:0", "127.0.0.1:0"
	opened, err := open(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return opened.close()
}

// What all streams may take together is no more than was said, and not much less.
func TestRoomIsUsed(t *testing.T) {
	t.Parallel()
	for room, most := range map[int64]int64{0: defaultRoom, 7 << 30: 7 << 30} {
		config := defaultConfig()
		config.DataDir, config.NATS.MaxStoreBytes = t.TempDir(), room
		if taken := roomTaken(t, config); taken > most || taken < most/10*8 {
			t.Errorf("with max_store_bytes %d: the caps add up to %d bytes, want at most %d", room, taken, most)
		}
	}
}

// roomTaken is the sum of the caps of all streams.
func roomTaken(t *testing.T, config Config) (taken int64) {
	t.Helper()
	config.Gateway.HTTPListenAddr, config.Gateway.APIListenAddr = "127.0.0.1:0", "127.0.0.1:0"
	opened, err := open(t.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := opened.close(); err != nil {
			t.Error(err)
		}
	}()
	js, err := jetstream.New(opened.nats.conn)
	if err != nil {
		t.Fatal(err)
	}
	streams := js.ListStreams(t.Context())
	for stream := range streams.Info() {
		if stream.Config.MaxBytes <= 0 {
			t.Errorf("stream %s has no cap", stream.Config.Name)
		}
		taken += stream.Config.MaxBytes
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return taken
}

func TestRoomOfTheServerInside(t *testing.T) {
	t.Parallel()
	config := defaultConfig()
	config.DataDir = t.TempDir()
	for _, room := range []int64{0, 1 << 30, 100 << 30, 2 << 30} { // it may be changed on data that are there
		config.NATS.MaxStoreBytes = room
		if err := tryOpen(t, config); err != nil {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
	}
}

func TestRoomOfAServerOutside(t *testing.T) {
	t.Parallel()
	const room = 6 << 30
	outside, err := embed.Open(t.Context(), embed.Options{
		StoreDir: filepath.Join(t.TempDir(), "nats"), MaxStore: room, ListenAddr: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := outside.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	config := defaultConfig()
	config.DataDir, config.NATS.URL = t.TempDir(), outside.URL()
	if err := tryOpen(t, config); err == nil || !strings.Contains(err.Error(), "IGNITE_MAX_STORE_BYTES") {
		t.Errorf("with room for more than the server has: %v", err)
	}
	config.NATS.MaxStoreBytes = room
	if err := tryOpen(t, config); err != nil {
		t.Errorf("with room for what the server has: %v", err)
	}
}
