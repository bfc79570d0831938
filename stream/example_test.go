package stream_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"dodil.io/ignite/stream"
	"dodil.io/ignite/stream/embed"
)

// Work goes in at one end, a worker takes it and publishes output, and a watcher follows.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := example(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// exec_1 says hello
	// exec_1 says world
}

func example(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	server, err := embed.Open(ctx, embed.Options{StoreDir: folder})
	if err != nil {
		return err
	}
	defer server.Close(ctx)
	conn, err := server.Connect("example")
	if err != nil {
		return err
	}
	defer conn.Close()
	streams, err := stream.Open(ctx, stream.Options{Conn: conn})
	if err != nil {
		return err
	}
	defer streams.Close()
	app := stream.App{Org: "acme-corp", Name: "hello"}
	if err := streams.Enqueue(ctx, stream.Work{Execution: "exec_1", Owner: "acme-corp", App: app}); err != nil {
		return err
	}
	if err := exampleWorker(ctx, streams, app); err != nil {
		return err
	}
	return exampleWatcher(ctx, streams)
}

func exampleWorker(ctx context.Context, streams *stream.Stream, app stream.App) error {
	queue, err := streams.Queue(ctx, app)
	if err != nil {
		return err
	}
	for job, err := range queue.Take(ctx, 1, time.Second) {
		if err != nil {
			return err
		}
		for index, word := range []string{"hello", "world"} {
			chunk := stream.Chunk{Execution: job.Execution, Attempt: 1, Index: int64(index), Data: []byte(word)}
			if err := streams.PublishChunk(ctx, chunk); err != nil {
				return err
			}
		}
		if err := job.Ack(ctx); err != nil {
			return err
		}
	}
	return queue.Close()
}

func exampleWatcher(ctx context.Context, streams *stream.Stream) error {
	for event, err := range streams.Watch(ctx, "exec_1", 0, 0) {
		if err != nil {
			return err
		}
		switch {
		case event.Chunk != nil:
			fmt.Println(event.Chunk.Execution, "says", string(event.Chunk.Data))
		case event.Settled:
			return nil
		}
	}
	return ctx.Err()
}
