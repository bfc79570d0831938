package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// processorTime is what the proxy of a lane has used so far, in user and kernel. It says more than a rate on a machine that has other things to do.
func (l lane) processorTime() (total time.Duration, err error) {
	if l.proxy == 0 {
		return 0, nil
	}
	processes := []string{strconv.Itoa(l.proxy)}
	if l.forks {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", l.proxy, l.proxy))
		if err != nil {
			return 0, err
		}
		processes = append(processes, strings.Fields(string(children))...)
	}
	for _, process := range processes {
		used, err := processorTime(process)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// tick is the unit of the times in /proc.
const tick = 10 * time.Millisecond

func processorTime(process string) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before it may hold anything
	fields := strings.Fields(string(rest))
	const user, kernel = 11, 12
	if len(fields) <= kernel {
		return 0, fmt.Errorf("process %s: %q", process, stat)
	}
	inUser, err := strconv.ParseInt(fields[user], 10, 64)
	if err != nil {
		return 0, err
	}
	inKernel, err := strconv.ParseInt(fields[kernel], 10, 64)
	return time.Duration(inUser+inKernel) * tick, err
}
