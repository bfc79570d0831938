package procfile

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"dodil.io/ignite/store"
)

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
