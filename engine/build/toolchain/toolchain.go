// Package toolchain runs compilers and package installers over the code of an app.
package toolchain

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Command is one run of a tool.
type Command struct {
	// Dir is where it runs.
	Dir string
	// Args are the program, as a path or to be found on PATH, and its arguments.
	Args []string
	// Settings are those variables of the server's environment that are the tool's own: names, or with an underscore at
	// the end, as in "PIP_", what names begin with.
	Settings []string
	// Env is added to what the tool inherits, and wins.
	Env []string
	// Stdout gets what it prints there, if that is not for the log.
	Stdout io.Writer
}

// Run runs c until it ends or ctx does; then everything that it started is killed, and the error is ctx's cause.
// What c prints goes to log, in whole lines.
func Run(ctx context.Context, c Command, log *Log) error {
	command := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	command.Dir = c.Dir
	command.Env = append(inherited(os.Environ(), c.Settings), c.Env...)
	command.Stdout = log
	command.Stderr = log
	if c.Stdout != nil {
		command.Stdout = c.Stdout
	}
	killGroup(command)
	err := command.Run()
	log.endLine()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	return nil
}

// killGroup makes the end of the context kill the children of the command too: a compiler is many processes.
func killGroup(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
}

// inherited picks what a tool needs to find programs, caches, proxies and certificates. The rest of the server's environment
// stays with the server: it may hold secrets, and a build runs code of whoever wrote the app.
func inherited(environ, settings []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return !everyTool(name) && !slices.ContainsFunc(settings, func(setting string) bool { return matches(name, setting) })
	})
}

func matches(name, setting string) bool {
	return name == setting || strings.HasSuffix(setting, "_") && strings.HasPrefix(name, setting)
}

func everyTool(name string) bool {
	switch strings.ToUpper(name) {
	case "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY":
		return true
	}
	return false
}
