package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is the user of that name everywhere.
const nobody = 65534

// What needs no root holds for a server that is not root, too: this test's binary runs the tests once more as nobody.
func TestServerThatIsNotRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("this is not root: the other tests show it")
	}
	dir := openFolder(t)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hostile, err := buildHostile()
	if err != nil {
		t.Fatal(err)
	}
	test := filepath.Join(dir, "test")
	copyProgram(t, executable, test)
	copyProgram(t, hostile, filepath.Join(dir, "hostile"))
	command := exec.CommandContext(t.Context(), test, "-test.run", "^(TestHostileApp|TestDriver|TestLeftovers.*|TestSandbox.*|TestTerm.*|TestFrozen.*)$", "-test.timeout", "1m")
	command.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, programsVariable+"="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, output)
	}
}

// openFolder is one that everybody may use: those that tests are given are their own users' only.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "process-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(to, nobody, nobody); err != nil { // one cannot link to the files of others
		t.Fatal(err)
	}
}
