//go:build !linux

package process

import (
	"log/slog"
	"os"
)

// templates are for Linux only: elsewhere every pod is started plainly.
type templates struct{}

func newTemplates(string, *slog.Logger) *templates { return &templates{} }

func (*templates) fork(*process, *os.File) bool { return false }

func (*templates) close() {}
