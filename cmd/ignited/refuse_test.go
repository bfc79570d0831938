package main

import (
	"strings"
	"testing"
)

// What a server cannot have, because another one has it, is named with the setting to change.
func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	first := startServer(t, dataDir(t))
	for setting, arguments := range map[string][]string{
		"IGNITE_DATA_DIR (--data-dir) " + first.dir:     {"--data-dir", first.dir, "--http-listen-addr", "127.0.0.1:0", "--api-listen-addr", "127.0.0.1:0"},
		"IGNITE_HTTP_LISTEN_ADDR (--http-listen-addr):": {"--data-dir", dataDir(t), "--http-listen-addr", first.http, "--api-listen-addr", "127.0.0.1:0"},
		"IGNITE_API_LISTEN_ADDR (--api-listen-addr):":   {"--data-dir", dataDir(t), "--http-listen-addr", "127.0.0.1:0", "--api-listen-addr", first.grpc},
	} {
		said, err := self(arguments...).CombinedOutput()
		if err == nil || !strings.Contains(string(said), setting) || !strings.Contains(string(said), "in use") {
			t.Errorf("want %q in use, got %v:\n%s", setting, err, said)
		}
	}
}
