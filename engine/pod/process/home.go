package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// home is the folder of one pod: what it may write to, and what tells a later server which processes were its.
type home struct{ dir string }

const homePrefix = "pod-"

func newHome(dir string) (home, error) {
	own, err := os.MkdirTemp(dir, homePrefix)
	if err != nil {
		return home{}, err
	}
	h := home{own}
	if err := errors.Join(os.Mkdir(h.homeDir(), 0o700), os.Mkdir(h.tempDir(), 0o700)); err != nil {
		return home{}, errors.Join(err, h.remove())
	}
	return h, nil
}

func (h home) homeDir() string { return filepath.Join(h.dir, "home") }

func (h home) tempDir() string { return filepath.Join(h.dir, "tmp") }

func (h home) recordFile() string { return filepath.Join(h.dir, "process.json") }

func (h home) remove() error { return os.RemoveAll(h.dir) }

// record is a process in a way that a process id alone is not: the number may be used again.
type record struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

func (h home) record(pid int) error {
	started, err := started(pid)
	if err != nil {
		return err
	}
	data, err := json.Marshal(record{PID: pid, Started: started})
	if err != nil {
		return err
	}
	return os.WriteFile(h.recordFile(), data, 0o600)
}

// isRunning reports whether the process of the record is there, as it is or as a zombie.
func (r record) isRunning() bool {
	started, err := started(r.PID)
	return err == nil && started == r.Started
}

func (h home) readRecord() (record, error) {
	data, err := os.ReadFile(h.recordFile())
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.PID <= 1 {
		return record{}, fmt.Errorf("%s holds no process: %w", h.recordFile(), err)
	}
	return r, nil
}

// lockFolder makes the folder and takes it for this process. The lock goes with the process, however that ends.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("folder %s is in use by another server: %w", dir, err)
	}
	return lock, nil
}
