package embed

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// piped answers a pipe and the server's end of it.
func piped(t *testing.T) (*pipe, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	p := newPipe(near)
	t.Cleanup(func() {
		far.Close()
		p.Close()
	})
	return p, far
}

func TestPipeWritesDoNotWaitForTheReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, far := piped(t)
		var want bytes.Buffer
		for i := range 1000 { // nobody reads yet, so a Write that waited would never return
			piece := bytes.Repeat([]byte{byte(i)}, i%97)
			want.Write(piece)
			if n, err := p.Write(piece); n != len(piece) || err != nil {
				t.Fatalf("Write of %d bytes answered %d, %v", len(piece), n, err)
			}
		}
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("what was read is not what was written, in its order: %v", err)
		}
	})
}

func TestPipeIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, far := piped(t)
		piece := make([]byte, pipeBuffer/4)
		written := 0
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for range 100 {
				if _, err := p.Write(piece); err != nil {
					t.Error(err)
				}
				written++
			}
		}()
		synctest.Wait()
		// One buffer is with the connection and one is held.
		if most := 2 * pipeBuffer / len(piece); written == 0 || written > most {
			t.Errorf("%d pieces were taken with nobody reading, want at most %d", written, most)
		}
		if n, err := io.CopyN(io.Discard, far, int64(100*len(piece))); err != nil {
			t.Errorf("read %d bytes: %v", n, err)
		}
		<-writing
	})
}

func TestPipeCloseLetsTheRestBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, far := piped(t)
		if _, err := p.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- p.Close() }()
		if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if _, err := p.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
	})
}

func TestPipeCloseDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := piped(t)
		if _, err := p.Write([]byte("nobody reads this")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != pipeFlush {
			t.Errorf("Close took %v, want %v", took, pipeFlush)
		}
	})
}

// An error of the connection wakes who waits for room, and shows in every later Write.
func TestPipeTellsOfABrokenConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, far := piped(t)
		failed := make(chan error, 1)
		go func() {
			for {
				if _, err := p.Write(make([]byte, pipeBuffer)); err != nil {
					failed <- err
					return
				}
			}
		}()
		synctest.Wait() // the writer waits for room now
		far.Close()
		if err := <-failed; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the writer that waited got %v", err)
		}
		if _, err := p.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a later Write got %v", err)
		}
	})
}

// The client does not close a connection that it gives up within its handshake.
func TestPipeEndsWithAReadThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		p := newPipe(near)
		far.Close()
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("Read answered %v, want EOF", err)
		}
		p.drained.Wait()
		if _, err := p.Write([]byte("x")); !errors.Is(err, io.EOF) {
			t.Errorf("a later Write got %v", err)
		}
	})
}
