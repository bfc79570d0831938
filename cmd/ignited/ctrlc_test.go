package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Ctrl-C at `make run` drains. A terminal sends it to every process of the group, so this does as well, and it must reach
// the server once: a second signal cuts the drain.
//
// It is not parallel because another test builds the programs that run here.
func TestCtrlCDrains(t *testing.T) {
	tour := newTour(t)
	if !t.Run("run", func(t *testing.T) { // its end is the Ctrl-C
		tour.makeRun(t, "")
		tour.shell(t, `export IGNITE_TOKEN=$(bin/ignited token --org acme-corp)
id=$(bin/ignite invoke acme-corp:stream --async --payload '{"chunks": 5}')
until bin/ignite execution get $id -o json | grep -q RUNNING; do :; done`)
	}) {
		return
	}
	log, err := os.ReadFile(filepath.Join(filepath.Dir(tour.state), "data", "ignited.log"))
	if err != nil || !strings.Contains(string(log), "msg=stopped") {
		t.Errorf("no clean stop: %v\n%s", err, log)
	}
}
