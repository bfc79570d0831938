package auth

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "token.key")
	first, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("the key changed")
	}
	if first == (Key{}) {
		t.Error("the key is all zeros")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %#o, want 0600", info.Mode().Perm())
	}
}

func TestProcessesThatStartAtOnceAgreeOnTheKey(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "token.key")
	keys := make([]Key, 20)
	errs := make([]error, len(keys))
	var starting sync.WaitGroup
	for i := range keys {
		starting.Go(func() { keys[i], errs[i] = LoadOrCreateKey(path) })
	}
	starting.Wait()
	for i := range keys {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if keys[i] != keys[0] {
			t.Fatal("two keys")
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("drafts were left behind: %v", entries)
	}
}

func TestKeyThatCannotBeTrustedIsRefused(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("A", 43) + "=\n"
	for name, test := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"readable by all":  {good, 0o644, "chmod 600"},
		"readable by some": {good, 0o640, "chmod 600"},
		"writable by some": {good, 0o620, "chmod 600"},
		"empty":            {"", 0o600, "damaged"},
		"too short":        {"AAAA\n", 0o600, "damaged"},
		"too long":         {strings.Repeat("A", 2000), 0o600, "damaged"},
		"not base64":       {"not a key!\n", 0o600, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "token.key")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadOrCreateKey(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error that names the file and %q", err, test.want)
			}
			if kept, _ := os.ReadFile(path); string(kept) != test.text {
				t.Error("the file was changed")
			}
		})
	}
}

func TestKeyFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateKey(filepath.Join(file, "token.key")); err == nil {
		t.Error("a key in a folder that is a file")
	}
}

func TestKeyDoesNotShowItsSecret(t *testing.T) {
	t.Parallel()
	key := Key{secret: [keySize]byte([]byte(strings.Repeat("s", keySize)))}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if text := fmt.Sprintf(form, key); strings.Contains(text, "ss") || strings.Contains(text, "7373") || strings.Contains(text, "115") {
			t.Errorf("%s shows %s", form, text)
		}
	}
}
