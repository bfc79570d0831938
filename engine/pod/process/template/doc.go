// Package template forks pods from a warm parent: a program that waits with everything loaded that its pods have in common.
//
// The parent takes orders on descriptor 3, a socket that keeps messages whole. It never reads what an order says, which holds the
// app's secrets; only the pod does, after the fork. Each order brings a socket of its own, the wire, of which the pod keeps nothing:
//
//	driver                          parent                      pod
//	  | -- ready? ------------------> |
//	  | -- order: a byte and files -> |  fork ------------------> |
//	  | <- its id and a pidfd ------- |                           |  reads the order, enters its confinement
//	  | <- entered, or why not ---------------------------------- |  runs the app
//	  | <- wait status -------------- | <---------------- exits   |
//	  | -- closes the wire ---------> |  kills what is left of the group, reaps the zombie
//
// As the zombie stays until the driver has closed the wire, no stranger can have the process id before. When the parent dies, its
// pods are killed (a parent-death signal); when the driver dies, the parent is.
//
// What all pods of a parent share beside the loaded code is what the kernel and the runtime draw by lot at a program's start: the
// addresses of its memory, and the seed of its hashes. Who is at home in one pod knows them of the others.
//
// It all needs Linux; elsewhere the package is empty.
package template
