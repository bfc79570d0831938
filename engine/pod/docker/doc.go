// Package docker runs pods as containers of a Docker engine on this machine.
//
// # A pod
//
// A pod is one container. Its program serves on $PORT at an address of the container's own, which only this machine reaches: no port is
// published. The driver opens one bridge network for all its pods, without traffic between them. What the program may do:
//
//   - it runs as a user that is not root, without capabilities and without a way to gain any: the image's own user if that is a
//     number, else user 65532;
//   - it sees the image read-only, and writes to /tmp, to $HOME and to the volumes that the image declares, all of which begin
//     empty, go with the pod, and are memory that counts towards its limit;
//   - it gets the memory of the Spec without swap, its share of processors, and a bounded number of processes;
//   - it may bind ports below 1024, so that $PORT can be 80.
//
// The engine's init is the first process, so that signals arrive and orphans are reaped. Its end takes everything with it that the
// container had started.
//
// # Starting
//
//	image there? ──► create ──► attach to its output ──► start ──► ask for its address ──► probe until ready
//	 │ no
//	 └► build it from Spec.Dir, or pull it
//
// Nobody dials before start has returned: a packet to an address that nobody has yet costs a second of asking around for it.
// Output goes to the pod's last log lines and nowhere else; the engine keeps no file of it.
//
// # What is left behind
//
// Everything that a driver makes in the engine carries the label of its installation, a random name kept in its folder. A server that was
// killed leaves containers behind; the next driver to open the folder removes them. Images stay until RemoveImages.
package docker
