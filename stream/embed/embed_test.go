package embed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dodil.io/ignite/stream/embed"
)

func open(t *testing.T, o embed.Options) *embed.Server {
	t.Helper()
	server, err := embed.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func closeServer(t *testing.T, server *embed.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, server *embed.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn, err := server.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

func TestReopenFindsWhatWasStored(t *testing.T) {
	t.Parallel()
	o := embed.Options{StoreDir: filepath.Join(t.TempDir(), "made", "on", "demand")}
	first := open(t, o)
	conn, js := connect(t, first)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "kept", []byte("before")); err != nil {
		t.Fatal(err)
	}
	if err := first.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	closeServer(t, first)

	second := open(t, o)
	defer closeServer(t, second)
	conn, js = connect(t, second)
	defer conn.Close()
	kept, err := js.Stream(t.Context(), "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	message, err := kept.GetMsg(t.Context(), 1)
	if err != nil || string(message.Data) != "before" {
		t.Errorf("read %v, %v; want what was stored before", message, err)
	}
}

func TestOneServerAtATime(t *testing.T) {
	t.Parallel()
	o := embed.Options{StoreDir: t.TempDir()}
	first := open(t, o)
	if second, err := embed.Open(t.Context(), o); !errors.Is(err, embed.ErrInUse) {
		t.Errorf("a second server on the folder: %v, %v; want ErrInUse", second, err)
	}
	closeServer(t, first)
	closeServer(t, open(t, o))
}

// A process that was killed gives its folder back.
func TestFolderOfAKilledProcess(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldFolder$")
	holder.Env = append(os.Environ(), "HOLD_FOLDER="+folder)
	// The holder says on stdout that it has the folder, and waits for an end of stdin that does not come.
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("held"))); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Open(t.Context(), embed.Options{StoreDir: folder}); !errors.Is(err, embed.ErrInUse) {
		t.Errorf("folder of another process: %v, want ErrInUse", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err == nil {
		t.Error("the holder ended by itself")
	}
	closeServer(t, open(t, embed.Options{StoreDir: folder}))
}

func TestHoldFolder(t *testing.T) {
	folder := os.Getenv("HOLD_FOLDER")
	if folder == "" {
		t.Skip("is the other process of TestFolderOfAKilledProcess")
	}
	open(t, embed.Options{StoreDir: folder})
	if _, err := fmt.Fprint(os.Stdout, "held"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	server := open(t, embed.Options{StoreDir: t.TempDir(), ListenAddr: "127.0.0.1:0"})
	defer closeServer(t, server)
	conn, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.RTT(); err != nil {
		t.Error(err)
	}
}

func TestInProcessOnlyHasNoURL(t *testing.T) {
	t.Parallel()
	server := open(t, embed.Options{StoreDir: t.TempDir()})
	defer closeServer(t, server)
	if url := server.URL(); url != "" {
		t.Errorf("URL is %q, want none", url)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		options embed.Options
		want    string
	}{
		"no folder":          {embed.Options{}, "store folder"},
		"file as folder":     {embed.Options{StoreDir: file}, "store folder"},
		"unknown sync mode":  {embed.Options{StoreDir: t.TempDir(), Sync: "sometimes"}, "sometimes"},
		"address of another": {embed.Options{StoreDir: t.TempDir(), ListenAddr: taken.Addr().String()}, "address already in use"},
		"port with a name":   {embed.Options{StoreDir: t.TempDir(), ListenAddr: "127.0.0.1:nats"}, "port is not a number"},
		"address of nothing": {embed.Options{StoreDir: t.TempDir(), ListenAddr: "4222"}, "listen address"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := embed.Open(t.Context(), test.options); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("opened with %v, want an error about %q", err, test.want)
			}
		})
	}
}

// An Open that failed leaves nothing behind that keeps the next one out.
func TestOpenAgainAfterFailure(t *testing.T) {
	t.Parallel()
	o := embed.Options{StoreDir: t.TempDir()}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := embed.Open(ended, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("opened with an ended context: %v", err)
	}
	closeServer(t, open(t, o))
}

func TestCapOfTheServer(t *testing.T) {
	t.Parallel()
	server := open(t, embed.Options{StoreDir: t.TempDir(), MaxStore: 1 << 20})
	defer closeServer(t, server)
	conn, js := connect(t, server)
	defer conn.Close()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LARGE", MaxBytes: 2 << 20})
	if err == nil {
		t.Error("a stream larger than the server's cap was made")
	}
}

func TestIntervalWaitsForNothing(t *testing.T) {
	t.Parallel()
	server := open(t, embed.Options{StoreDir: t.TempDir(), Sync: embed.SyncInterval})
	defer closeServer(t, server)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := server.Sync(ended); err != nil {
		t.Errorf("sync waited: %v", err)
	}
}

func TestSyncAfterClose(t *testing.T) {
	t.Parallel()
	server := open(t, embed.Options{StoreDir: t.TempDir()})
	closeServer(t, server)
	if err := server.Sync(t.Context()); !errors.Is(err, embed.ErrClosed) {
		t.Errorf("sync of a closed server: %v, want ErrClosed", err)
	}
}

func TestServerLogsThroughSlog(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := open(t, embed.Options{StoreDir: t.TempDir(), Logger: logger})
	closeServer(t, server)
	if !strings.Contains(lines.String(), "msg=nats-server") {
		t.Errorf("the log holds no line of the server:\n%s", lines.String())
	}
}
