package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// run is the whole program; main and the tests call it. It answers the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := newCommand()
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	if err := command.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, "ignited:", err)
		return 1
	}
	return 0
}

func newCommand() *cobra.Command {
	command := &cobra.Command{
		Use:           "ignited",
		Short:         "Run HTTP apps and keep their executions",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			config, warnings, err := loadConfig(command.Flags(), os.Environ())
			if err != nil {
				return fmt.Errorf("the configuration has faults:\n%w", err)
			}
			return serve(command.Context(), config, newLogger(config.Log, command.ErrOrStderr()), warnings)
		},
	}
	addConfigFlags(command.Flags())
	command.AddCommand(newTokenCommand())
	return command
}

func newLogger(config LogConfig, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: config.Level}
	if config.Format == logJSON {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// serve starts everything, from the ground up, runs it until TERM or INT, and stops it in the reverse order.
//
//	callers ──gRPC──┐
//	                ├─► gateway ──► engine ──► pods: processes, and containers
//	callers ──HTTP──┘      │           │
//	                       └──► stream, store ──► NATS, inside or at IGNITE_NATS_URL
//
// After the first signal the second one has its usual effect and ends the process at once; pods that are
// processes die with it, and containers are removed when it is started again.
func serve(ctx context.Context, config Config, logger *slog.Logger, warnings []string) error {
	ctx, release := untilSignal(ctx)
	defer release()
	for _, warning := range warnings {
		logger.WarnContext(ctx, "configuration", slog.String("warning", warning))
	}
	s, err := open(ctx, config, logger)
	if err != nil && ctx.Err() != nil {
		err = nil // what was given up because of the signal did not fail
	} else if err == nil {
		err = errors.Join(s.run(ctx), s.close())
	}
	if err == nil {
		logger.InfoContext(ctx, "stopped")
	}
	return err
}

// untilSignal is ctx until TERM or INT. The signals have their usual effect again before it ends, so that whoever is told that the
// stop has begun can rely on the second one.
func untilSignal(ctx context.Context) (context.Context, func()) {
	signalled, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(signalled, func() {
		restore()
		cancel()
	})
	return ctx, func() {
		restore()
		cancel()
	}
}

// run serves until ctx ends. Stopping goes in this order, and each step waits for the one before:
//
//  1. /readyz answers 503
//  2. no new connections, no new streams
//  3. no new jobs from the queue
//  4. what runs has the drain time to finish, calls and jobs side by side
//  5. the rest of the jobs goes back to the queue
//  6. pods are stopped
//  7. (close) NATS is closed
func (s *system) run(ctx context.Context) error {
	engineContext, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	context.AfterFunc(ctx, func() {
		s.logger.InfoContext(engineContext, "stopping")
		s.engine.StopTaking()
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.engine.Run(engineContext) })
	group.Go(func() error {
		defer stopEngine()
		return s.serveCallers(ctx)
	})
	return group.Wait()
}

// serveCallers returns when ctx has ended and callers are gone; without a gateway there are none.
func (s *system) serveCallers(ctx context.Context) error {
	if s.gateway == nil {
		<-ctx.Done()
		return nil
	}
	s.logger.InfoContext(ctx, "listening", slog.String("http", s.http.Addr().String()), slog.String("grpc", s.grpc.Addr().String()),
		slog.String("version", version))
	return s.gateway.Serve(ctx, s.grpc, s.http)
}
