// Package cgroup puts processes into control groups with limits on memory, processor time and the number of processes.
//
// A Tree is a group beneath that of this process, so that limits on the server hold for the server and its pods together; each Group is
// one beneath that. Both versions of the interface are known. On version 1 a group is a folder in the tree of each controller, and a thread
// of ours enters it, starts a program, and leaves again (Enter, Leave): writing "0" to a group's tasks is the one move that does
// not wait for the whole machine. On version 2 threads of a process cannot be in different groups, and the program is started in the group
// (Folder, for SysProcAttr.CgroupFD).
//
// Version 2 lets a group have processes or limits for groups beneath it, not both. So Open moves this process into a group beneath its own,
// which needs to be alone in it, as a service of systemd with Delegate=yes is.
package cgroup
