// Command program is podtest's program by itself, for pods that cannot run a test's binary.
package main

import (
	"fmt"
	"os"

	"dodil.io/ignite/engine/pod/podtest"
)

func main() {
	code, ran := podtest.RunProgram()
	if !ran {
		fmt.Fprintln(os.Stderr, "this is the program of podtest's pods and runs nowhere else")
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // this is a main too
}
