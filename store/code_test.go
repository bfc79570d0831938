package store_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"dodil.io/ignite/store"
	"dodil.io/ignite/stream/streamtest"
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

func TestCodeIsCapped(t *testing.T) {
	t.Parallel()
	_, err := openCapped(t).PutCode(t.Context(), randomBytes(4<<20))
	wantError(t, err, store.ErrFull)
}

// Who gives up reading, as a server does that stops, is let go soon, also when nothing comes any more.
func TestCodeReadingIsGivenUp(t *testing.T) {
	t.Parallel()
	server := streamtest.Start(t)
	s := open(t, server, store.Options{})
	archive := randomBytes(32 << 20)
	hash, err := s.PutCode(t.Context(), archive)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code, err := s.Code(ctx, hash)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(code, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if n, err := io.Copy(io.Discard, code); err == nil {
		t.Errorf("%d bytes and no error", n)
	}
	if err := code.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it was given up after %v", took)
	}
}
