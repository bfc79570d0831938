// Package ignite runs a function written in Go:
//
//	func main() { ignite.Start(handle) }
//
//	func handle(payload []byte, ctx *ignite.Context) ([]byte, error) {
//		return append([]byte("hello "), payload...), nil
//	}
//
// A call is a POST, whatever its path: its body is the payload, and the bytes that the handler returns are the answer, as
// application/octet-stream. An error is a 500 with {"error": its text}; so is a panic, which ends that call and no other. GET and HEAD are
// answered here, so that asking whether the pod is ready never reaches the handler.
//
// Calls run side by side, each in a goroutine of its own. What a program keeps in variables lives on between them.
package ignite

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"
)

// Handler answers one call. It may be called many times at once.
type Handler func(payload []byte, ctx *Context) ([]byte, error)

// Start serves calls with handler until the process is told to stop (TERM or INT), and returns once those that run then are answered. A
// second signal ends the process at once. Start is the last thing that main does, or the last but for tidying up.
//
// It does not return if it cannot serve: then it says why and ends the process.
func Start(handler Handler) {
	if err := start(handler); err != nil {
		log.Fatalf("ignite: %v", err)
	}
}

func start(handler Handler) error {
	if handler == nil {
		return fmt.Errorf("start: the handler is nil")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	listener, err := listen()
	if err != nil {
		return err
	}
	return serve(ctx, listener, handler)
}
