// Package sandbox takes away from a thread what the programs that it starts are not to have.
//
// Nearly all that confines a process on Linux is a property of a thread, and is inherited by what the thread starts: its mount namespace, its
// filter of system calls, its Landlock rules, its capabilities. So nothing has to run between fork and exec, and no helper program is
// needed. What is done to a thread here cannot be taken back: lock the goroutine to it (runtime.LockOSThread), and let it end with
// the goroutine.
//
// A Root is a mount namespace with the machine's programs, read-only, and nothing else; each pod gets a copy with its own folders in it. Filter
// and Rules work for every user; Root wants root.
package sandbox
