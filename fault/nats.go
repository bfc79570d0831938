package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NATS is a nats-server with JetStream, on a folder and an address that it keeps.
type NATS struct {
	*Process
	programs Programs
	name     string
	address  string
	config   string
	log      string
}

// NewNATS runs a single server.
func NewNATS(t *testing.T, p Programs) *NATS {
	t.Helper()
	n := newNATS(t, p, "alone", freeAddresses(t, 1)[0], "")
	n.Start(t)
	return n
}

// NewCluster runs three servers that keep copies for each other.
func NewCluster(t *testing.T, p Programs) []*NATS {
	t.Helper()
	addresses := freeAddresses(t, 6)
	var routes []string
	for _, address := range addresses[3:] {
		routes = append(routes, "nats://"+address)
	}
	servers := make([]*NATS, 3)
	for i := range servers {
		cluster := fmt.Sprintf("cluster { name: fault, listen: %q, routes: [%s] }\n", addresses[3+i], strings.Join(routes, ", "))
		servers[i] = newNATS(t, p, fmt.Sprintf("nats-%d", i), addresses[i], cluster)
		servers[i].Start(t)
	}
	return servers
}

func newNATS(t *testing.T, p Programs, name, address, cluster string) *NATS {
	t.Helper()
	dir := t.TempDir()
	n := &NATS{programs: p, name: name, address: address, config: filepath.Join(dir, "config"), log: filepath.Join(dir, "log")}
	config := fmt.Sprintf("server_name: %s\nlisten: %q\njetstream { store_dir: %q, max_file_store: 1TB, sync_interval: always }\n%s",
		name, address, filepath.Join(dir, "data"), cluster)
	if cluster != "" { // whose copies stand in for the sync
		config = strings.Replace(config, ", sync_interval: always", "", 1)
	}
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// Start runs it on its folder and waits until it takes connections.
func (n *NATS) Start(t *testing.T) {
	t.Helper()
	n.Process = startProcess(t, n.log, nil, n.programs.NATSServer, "-c", n.config)
	eventually(t, 30*time.Second, "nats-server listens", func() error {
		select {
		case <-n.Exited():
			t.Fatalf("nats-server ended:\n%s", n.Tail())
		default:
		}
		return listens(n.address)
	})
}

// URL is where clients connect to.
func (n *NATS) URL() string { return "nats://" + n.address }

// urls of all servers, as one setting.
func urls(servers []*NATS) string {
	var all []string
	for _, n := range servers {
		all = append(all, n.URL())
	}
	return strings.Join(all, ",")
}
