package cgroup

import (
	"errors"
	"io/fs"
	"strconv"
)

// period is the time over which processor time is shared out, in microseconds: the kernel's default. leastQuota is the least that it takes.
const (
	period     = 100_000
	leastQuota = 1_000
)

func (g *Group) limit(limits Limits) error {
	var faults []error
	for _, part := range []struct {
		controller string
		value      int64
		set        func(dir string, value int64) error
	}{
		{memory, limits.MemoryBytes, g.limitMemory},
		{cpu, limits.CPUMillicores, g.limitCPU},
		{processes, limits.Processes, limitProcesses},
	} {
		if dir, ok := g.dirs[part.controller]; ok && part.value > 0 {
			faults = append(faults, part.set(dir, part.value))
		}
	}
	return errors.Join(faults...)
}

// limitMemory forbids swapping too, as it would make the limit one of speed. A kernel without swap has no file for that.
func (g *Group) limitMemory(dir string, bytes int64) error {
	value := strconv.FormatInt(bytes, 10)
	if !g.tree.v2 {
		if err := write(dir, "memory.limit_in_bytes", value); err != nil {
			return err
		}
		return ignoreMissing(write(dir, "memory.memsw.limit_in_bytes", value))
	}
	return errors.Join(
		write(dir, "memory.max", value),
		ignoreMissing(write(dir, "memory.swap.max", "0")),
		// A pod that has lost one of its processes is not the one that was started.
		ignoreMissing(write(dir, "memory.oom.group", "1")),
	)
}

func (g *Group) limitCPU(dir string, millicores int64) error {
	quota := strconv.FormatInt(max(millicores*period/1000, leastQuota), 10)
	if g.tree.v2 {
		return write(dir, "cpu.max", quota+" "+strconv.Itoa(period))
	}
	return errors.Join(write(dir, "cpu.cfs_period_us", strconv.Itoa(period)), write(dir, "cpu.cfs_quota_us", quota))
}

func limitProcesses(dir string, count int64) error {
	return write(dir, "pids.max", strconv.FormatInt(count, 10))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
