package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// codeReadTimeout bounds the reading of an archive by a caller who gives no deadline; nats.go would take 5 s.
	codeReadTimeout = 10 * time.Minute
	// readPatience is how long a reader takes to notice that its context has ended.
	readPatience = time.Second
	// archiveChunk is the largest message that a server takes by default.
	archiveChunk = 1 << 20
)

// PutCode stores an archive under the SHA-256 of its bytes, in hex, and answers it. Repeating it costs nothing. On disk on return.
func (s *Store) PutCode(ctx context.Context, archive []byte) (hash string, err error) {
	sum := sha256.Sum256(archive)
	hash = hex.EncodeToString(sum[:])
	// Two uploads of one name at the same time would leave the chunks of one of them behind.
	_, err, _ = s.uploads.Do(hash, func() (any, error) {
		return nil, s.putCode(ctx, hash, archive)
	})
	if err != nil {
		return "", fmt.Errorf("put code %s: %w", hash, err)
	}
	return hash, s.Sync(ctx)
}

func (s *Store) putCode(ctx context.Context, hash string, archive []byte) error {
	asking, cancel := bounded(ctx)
	defer cancel()
	_, err := s.buckets.code.GetInfo(asking, hash)
	if err = translate(err); !errors.Is(err, ErrNotFound) {
		return err
	}
	meta := jetstream.ObjectMeta{Name: hash, Opts: &jetstream.ObjectMetaOptions{ChunkSize: archiveChunk}}
	_, err = s.buckets.code.Put(ctx, meta, bytes.NewReader(archive))
	return translate(err)
}

// Code opens an archive. ErrNotFound if there is none. The bytes were all read and are those of hash when Read
// answers io.EOF; ctx bounds the reading too.
func (s *Store) Code(ctx context.Context, hash string) (io.ReadCloser, error) {
	if hash == "" {
		return nil, fmt.Errorf("code without a hash: %w", ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, codeReadTimeout)
	object, err := s.buckets.code.Get(impatient{ctx}, hash)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("code %s: %w", hash, translate(err))
	}
	return &codeReader{object: object, done: ctx.Done(), cancel: cancel, hash: hash}, nil
}

// impatient has a deadline that is never far away. nats.go does not wake a reader when its context is cancelled: what it waits for is
// the deadline that the context had when the reading began. See codeReader.Read.
type impatient struct {
	context.Context //nolint:containedctx // it is one
}

func (impatient) Deadline() (time.Time, bool) { return time.Now().Add(readPatience), true }

// codeReader translates errors, and ends with Close what nats.go keeps until a context does.
type codeReader struct {
	object jetstream.ObjectResult
	done   <-chan struct{}
	cancel context.CancelFunc
	hash   string
}

func (r *codeReader) Read(p []byte) (int, error) {
	n, err := r.object.Read(p)
	for n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !r.isDone() {
		n, err = r.object.Read(p)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, fmt.Errorf("read code %s: %w", r.hash, translate(err))
}

func (r *codeReader) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *codeReader) Close() error {
	defer r.cancel()
	return translate(r.object.Close())
}
