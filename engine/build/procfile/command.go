package procfile

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"dodil.io/ignite/store"
)

// plain is a web line in which a shell would find nothing to do but to run a program by its path with these words.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./-]*/[A-Za-z0-9_./-]*( +[A-Za-z0-9_.,:/@%+=-]+)*$`)

// command answers the arguments that run web in dir. Where no shell is needed there is none, which saves a cold start the time of one.
func command(dir, web string) []string {
	if words := strings.Fields(web); plain.MatchString(web) && isExecutable(filepath.Join(dir, words[0])) {
		return words
	}
	return shell(web)
}

// isExecutable reports whether the kernel can run a file by itself: a shell also runs a script that does not say what with.
func isExecutable(name string) bool {
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	var head [4]byte
	_, err = io.ReadFull(file, head[:])
	return err == nil && (string(head[:]) == "\x7fELF" || string(head[:2]) == "#!")
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// shell answers the arguments that run web. The shell gives its place to the program where it can, so that signals and the
// exit status are the program's own.
func shell(web string) []string {
	switch {
	case compound(web):
		return []string{"/bin/sh", "-c", web}
	case assignment.MatchString(web):
		return []string{"/bin/sh", "-c", "exec env " + web}
	default:
		return []string{"/bin/sh", "-c", "exec " + web}
	}
}

// compound reports whether web may be more than one command. An operator inside quotes counts too, which only costs the exec.
func compound(web string) bool {
	return strings.ContainsAny(web, ";&|(){}`") || strings.HasPrefix(web, "exec ") || strings.HasPrefix(web, "!")
}

// checkProgram finds the commonest mistake early: a web line that names a file of the archive that is not there.
func checkProgram(web string, exists func(name string) bool) error {
	program := strings.Fields(web)[0]
	if compound(web) || assignment.MatchString(web) || strings.ContainsAny(program, `"'$~*\`) {
		return nil
	}
	if !strings.Contains(program, "/") || path.IsAbs(program) || exists(path.Clean(program)) {
		return nil
	}
	return fmt.Errorf("%w: Procfile runs %s, which is not there", store.ErrInvalidCode, program)
}
