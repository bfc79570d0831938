package process_test

import (
	"context"
	"fmt"
	"os"

	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/podtest"
	"dodil.io/ignite/engine/pod/process"
)

// serverVariable makes this test's binary a server that starts a pod in the folder it names, and is then killed.
const serverVariable = "PROCESS_TEST_SERVER"

// runServer starts one pod, prints its address, and waits to be killed.
func runServer(dir string) error {
	driver, err := process.New(process.Options{Dir: dir})
	if err != nil {
		return err
	}
	if err := driver.Open(context.Background()); err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := driver.Start(context.Background(), pod.Spec{
		Name: "app-1-left", Dir: dir, Command: []string{executable}, Env: podtest.ServingEnv(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, p.Addr())
	<-p.Done()
	return p.Err()
}
