// Package build turns a code source into something that a driver can start: it checks archives when they are saved, builds them when they
// are compiled, and puts them in place on the machine where they run.
//
//	archive ──Check──► saved ──Build──► artifact ──Provision──► <Dir>/<hash>, and how to run it
//	          in memory        in a folder of its own   once per hash
//
// An archive comes from outside. It is read with limits that count what really comes out of it, never what its headers say, and it is
// written through an os.Root, so that even an entry that the rules for names let through by mistake stays inside.
//
// One sub-package knows one runtime: python, golang, procfile and image. They see an archive as its paths, and code as a folder.
//
// A build runs as the server's user, with the few variables of the server's environment that its tools need (see toolchain), in a process
// group that is killed when its time is up. What is built is code of whoever wrote the app, but only pip runs any of it; the go command with
// cgo off compiles and runs nothing, and a go.mod may not point to folders outside of the archive. Both fetch modules from wherever the
// server's settings (PIP_…, GOPROXY and the like) say.
//
// Images are made and fetched by a container engine (Config.Images) when they are compiled, which shows early what is wrong with them. They are no
// artifacts: the archive stays what is provisioned, and a machine that lacks its image makes it from that when it starts a pod.
//
// # What is on disk
//
// Dir holds one folder per artifact, named by the hash of the artifact's bytes, with read-only files: pods share it. A folder with that
// name is always whole, since it is filled under another name and then renamed. What a crash leaves has a name that begins with a
// dot and goes at the next start. The folders themselves stay writable for their owner: whoever may remove Dir can do so by ordinary means.
// Nothing is synced; after a power cut a damaged Dir may be removed as a whole, everything in it can be made again.
//
// All methods of a Builder may be called concurrently. Calls of Provision for one hash wait for the one that unpacks; if that
// one fails or is cancelled, the next tries.
package build
