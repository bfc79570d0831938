// Command ignite is the client of Ignite: it deploys apps, calls them and follows their executions.
//
// One file holds each group of commands. A command only maps its arguments to a request and prints the answer;
// connect.go reaches the server, output.go prints, exit.go turns an error into words and an exit code.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// run is the whole client: it carries out args and returns the exit code. When ctx ends, it disconnects and returns.
func run(
	ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string,
) int {
	c := &client{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
	c.progress = newProgress(stderr, getenv("TERM"))

	root := newRootCommand(c)
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	command, err := root.ExecuteContextC(ctx)
	if err != nil && !c.started {
		err = &usageError{command: command.CommandPath(), cause: err}
	}
	return c.finish(ctx, err)
}
