package process

import "dodil.io/ignite/engine/pod"

// PID is the process id of a pod's program, for tests.
func PID(p pod.Pod) int { return p.(*process).pid() }

// Throttled counts the periods in which a pod had to wait for processor time.
func Throttled(p pod.Pod) (int64, error) { return p.(*process).limits.group.Throttled() }

// Groups names the control groups that a driver's pods have.
func Groups(d *Driver) []string {
	if d.jail.groups == nil {
		return nil
	}
	left, err := d.jail.groups.Left()
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, group := range left {
		names = append(names, group.Name())
	}
	return names
}
