package pod

import (
	"errors"
	"io"
)

// answer is the body of a pod's answer. Its reads and its Close may run concurrently.
type answer struct {
	body io.ReadCloser
	call *call
}

func (a *answer) Read(p []byte) (int, error) {
	a.call.idle.start()
	n, err := a.body.Read(p)
	a.call.idle.stop()
	switch {
	case errors.Is(err, io.EOF):
		a.call.finish()
	case err != nil:
		err = a.call.translate(ErrBroken, err)
		a.call.finish()
	}
	return n, err
}

// Close before the end hangs up on the pod.
func (a *answer) Close() error {
	err := a.body.Close()
	a.call.finish()
	return err
}
