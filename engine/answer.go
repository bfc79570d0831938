package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"slices"
	"time"

	"dodil.io/ignite/stream"
)

const (
	// readSize is the most that becomes one chunk.
	readSize = min(64<<10, stream.MaxChunk)
	// maxHeader bounds the headers and the trailers that a record keeps, each, in bytes: they share a message with the result.
	maxHeader = 32 << 10
	// publishLimit is how long a piece of output is tried to be published.
	publishLimit = time.Minute
)

var errResultTooLarge = errors.New("the result is too large to be kept")

// read reads the answer to its end into o. A streamed one is published piece by piece while it comes, too.
func (a *attempt) read(ctx context.Context, response *http.Response, o *outcome) error {
	o.response = response.StatusCode
	o.retryAfter = response.Header.Get("Retry-After")
	o.header = keep(response.Header)
	o.streamed = isStreamed(response)
	if response.ContentLength > a.maxResult {
		return a.tooLarge()
	}
	var err error
	if o.streamed {
		err = a.readChunks(ctx, response.Body, o)
	} else {
		err = a.readWhole(response, o)
	}
	o.trailer = keep(response.Trailer)
	return err
}

// isStreamed reports answers that a watcher may want before their end: of unknown length, or events.
func isStreamed(r *http.Response) bool {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // what cannot be parsed is no event stream
	return r.ContentLength < 0 || media == "text/event-stream"
}

func (a *attempt) readWhole(response *http.Response, o *outcome) error {
	var whole bytes.Buffer
	whole.Grow(int(response.ContentLength) + bytes.MinRead) // ReadFrom wants room to find the end
	_, err := whole.ReadFrom(response.Body)
	o.result = whole.Bytes()
	return err
}

// readChunks publishes each piece as soon as it is read, in order; the pod is read no faster than its output is stored.
func (a *attempt) readChunks(ctx context.Context, body io.Reader, o *outcome) error {
	buffer := make([]byte, readSize)
	for {
		n, err := body.Read(buffer)
		if int64(len(o.result)+n) > a.maxResult {
			o.result = nil
			return a.tooLarge()
		}
		if n > 0 {
			c := stream.Chunk{Execution: a.held.ID, Attempt: a.held.Attempt, Index: o.chunks, Data: buffer[:n], Expires: a.expires}
			if err := a.publish(ctx, c); err != nil {
				return err
			}
			o.result = append(o.result, buffer[:n]...)
			o.chunks++
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (a *attempt) tooLarge() error {
	return fmt.Errorf("%w: at most %d bytes are", errResultTooLarge, a.maxResult)
}

// publish stores a chunk, and tries again for a while if it cannot; a repetition is dropped by the stream.
func (a *attempt) publish(ctx context.Context, c stream.Chunk) error {
	began := time.Now()
	pauses := backoff{least: 50 * time.Millisecond, most: 5 * time.Second}
	for {
		err := a.stream.PublishChunk(ctx, c)
		if err == nil {
			a.reached(ChunkStored)
			return nil
		}
		if time.Since(began) > publishLimit {
			return fmt.Errorf("publish output: %w", err)
		}
		if err := pauses.wait(ctx); err != nil {
			return err
		}
		a.log.WarnContext(ctx, "output not stored yet", slog.String("execution", c.Execution), slog.Any("error", err))
	}
}

// credentials never enter a record, which a whole organization reads: those that an app gives to whoever it thinks is calling, and
// those that one which answers with what it was sent had from elsewhere.
var credentials = []string{"Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie", "Set-Cookie2"}

// keep answers what a record keeps of a header, in the order of the names until it is full.
func keep(header http.Header) http.Header {
	kept := make(http.Header, len(header))
	size := 0
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if slices.Contains(credentials, name) {
			continue
		}
		for _, value := range header[name] {
			size += len(name) + len(value)
		}
		if size > maxHeader {
			break
		}
		kept[name] = header[name]
	}
	return kept
}
