package embed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// serverLog gives nats-server's lines to slog, and keeps the one that says why it does not start.
type serverLog struct {
	logger *slog.Logger

	mu    sync.Mutex
	first error
}

// Noticef is chatter about starting and stopping, which our own log tells.
func (l *serverLog) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }

// Fatalf does not end the process: Open returns what it said.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = fmt.Errorf(format, v...)
	}
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *serverLog) log(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.logger.Enabled(ctx, level) {
		l.logger.LogAttrs(ctx, level, "nats-server", slog.String("line", fmt.Sprintf(format, v...)))
	}
}
