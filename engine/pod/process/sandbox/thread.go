package sandbox

import "runtime"

// Go calls do on a thread that nothing else runs on before or after: it ends with do. It is never the process's first thread,
// which cannot end, and whose namespaces and groups are taken for the process's.
func Go(do func()) {
	go func() {
		runtime.LockOSThread()
		if !isFirstThread() {
			do()
			return
		}
		// As long as this thread is held, the next one is another.
		held := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(held)
			do()
		}()
		<-held
		runtime.UnlockOSThread()
	}()
}

// On is Go, and answers do's error.
func On(do func() error) error {
	result := make(chan error, 1)
	Go(func() { result <- do() })
	return <-result
}
