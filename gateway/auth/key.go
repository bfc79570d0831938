package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const keySize = 32

// Key signs and verifies the tokens of Static. It does not show its secret when it is printed.
type Key struct{ secret [keySize]byte }

// Format hides the secret from every verb.
func (Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "[key]") }

// LoadOrCreateKey reads the key at path, and makes it if there is none. Processes that start at once agree on one key. A file
// that others than its owner may read is refused: whoever reads it can be anyone.
func LoadOrCreateKey(path string) (Key, error) {
	key, err := loadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := createKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("create the token key: %w", err)
	}
	return loadKey(path)
}

func loadKey(path string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the token key: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("read the token key: %w", err)
	}
	const others = 0o077
	if mode := info.Mode().Perm(); mode&others != 0 {
		return Key{}, fmt.Errorf("token key %s may be used by others than its owner (mode %#o): make a new one, or chmod 600 it if nobody has read it", path, mode)
	}
	const most = 1 << 10
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return Key{}, fmt.Errorf("read the token key: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != keySize {
		return Key{}, fmt.Errorf("token key %s is damaged: it should hold %d bytes in base64", path, keySize)
	}
	return Key{secret: [keySize]byte(secret)}, nil
}

// createKey answers fs.ErrExist if another process was first. The file appears under its name by a link, whole and on disk or not at
// all: a rename would replace the key that the other process already uses.
func createKey(path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	draft, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	if err := writeKey(draft); err != nil {
		return err
	}
	if err := os.Link(draft.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

func writeKey(draft *os.File) error {
	var key Key
	if _, err := rand.Read(key.secret[:]); err != nil {
		return errors.Join(err, draft.Close())
	}
	_, err := draft.WriteString(base64.StdEncoding.EncodeToString(key.secret[:]) + "\n")
	return errors.Join(err, draft.Sync(), draft.Close())
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
