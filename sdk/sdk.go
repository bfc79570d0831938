// Package sdk carries the source of what functions are written with, so that a server can build them without asking anybody for it.
package sdk

import "embed"

// Go is the package in the folder go, without its tests. It imports the standard library only.
//
//go:embed go/context.go go/ignite.go go/listen.go go/serve.go
var Go embed.FS
