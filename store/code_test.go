package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"dodil.io/ignite/store"
)

func randomBytes(n int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = random.Read(b)
	return b
}

func readCode(t testing.TB, s *store.Store, hash string) []byte {
	t.Helper()
	reader, err := s.Code(t.Context(), hash)
	if err != nil {
		t.Fatalf("open code: %v", err)
	}
	archive, err := io.ReadAll(reader)
	if err != nil {
		t.Fatalf("read code: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Errorf("close code: %v", err)
	}
	return archive
}

func TestCode(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, size := range []int{0, 1, 1 << 20, 3<<20 + 7} {
		archive := randomBytes(size)
		hash, err := s.PutCode(t.Context(), archive)
		if err != nil {
			t.Fatalf("put %d bytes: %v", size, err)
		}
		again, err := s.PutCode(t.Context(), archive)
		if err != nil || again != hash {
			t.Errorf("put again: %s, %v; want %s", again, err, hash)
		}
		if got := readCode(t, s, hash); !bytes.Equal(got, archive) {
			t.Errorf("read %d bytes that differ from the %d put", len(got), size)
		}
	}
	for _, hash := range []string{"", "none", "../x"} {
		_, err := s.Code(t.Context(), hash)
		wantError(t, err, store.ErrNotFound)
	}
}

func TestCodePutByManyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	archive := randomBytes(2 << 20)
	hashes := make([]string, 8)
	var group sync.WaitGroup
	for i := range hashes {
		group.Go(func() {
			hash, err := s.PutCode(t.Context(), archive)
			if err != nil {
				t.Error(err)
			}
			hashes[i] = hash
		})
	}
	group.Wait()
	if got := readCode(t, s, hashes[0]); !bytes.Equal(got, archive) {
		t.Error("read something else")
	}
}

// A reader who leaves early leaves nothing running: TestMain looks for goroutines.
func TestCodeClosedEarly(t *testing.T) {
	t.Parallel()
	s := setup(t)
	hash, err := s.PutCode(t.Context(), randomBytes(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s.Code(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(reader, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const name = "result.exec_x"
	_, err := s.Payload(t.Context(), name)
	wantError(t, err, store.ErrNotFound)
	for _, size := range []int{store.MaxInline + 1, 5 << 20, 0} {
		body := randomBytes(size)
		if err := s.PutPayload(t.Context(), name, body); err != nil {
			t.Fatal(err)
		}
		got, err := s.Payload(t.Context(), name)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("read %d bytes, %v; want the %d put last", len(got), err, size)
		}
	}
	large := randomBytes(store.MaxInline + 1)
	if err := s.PutPayload(t.Context(), name, large); err != nil {
		t.Fatal(err)
	}
	if result, err := s.Result(t.Context(), store.Execution{ResultObject: name}); err != nil || !bytes.Equal(result, large) {
		t.Errorf("result is %d bytes, %v", len(result), err)
	}
	for range 2 {
		if err := s.DeletePayload(t.Context(), name); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	_, err = s.Result(t.Context(), store.Execution{ResultObject: name})
	wantError(t, err, store.ErrNotFound)
}

func TestFullPayloadsCanBeDeleted(t *testing.T) {
	t.Parallel()
	s := openCapped(t)
	var names []string
	for size := 256 << 10; size > 0; size /= 2 { // to the last byte
		for {
			name := fmt.Sprint("request.", len(names))
			err := s.PutPayload(t.Context(), name, randomBytes(size))
			if errors.Is(err, store.ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	for _, name := range names {
		if err := s.DeletePayload(t.Context(), name); err != nil {
			t.Fatalf("delete one of %d: %v", len(names), err)
		}
	}
	if err := s.PutPayload(t.Context(), "large", randomBytes(700<<10)); err != nil {
		t.Errorf("put after all were deleted: %v", err)
	}
}

func TestPayloadsAreCapped(t *testing.T) {
	t.Parallel()
	s := openCapped(t)
	wantError(t, s.PutPayload(t.Context(), "large", randomBytes(4<<20)), store.ErrFull)
	_, err := s.PutCode(t.Context(), randomBytes(4<<20))
	wantError(t, err, store.ErrFull)
}
