package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// handlerFile is the Python app that is started cold.
const handlerFile = "def handler(payload, ctx):\n    return payload\n"

// starting is one way of bringing the same program up, and how long each took from the first moment to the first 200.
type starting struct {
	what string
	aim  string
	// once brings up the nth.
	once func(n int) (time.Duration, error)
	took []time.Duration
}

// measureColdStart takes turns between bare forks of a program until its first 200, and first calls of apps that never ran, in a sandbox and without
// one: a static program and a Python handler each.
func measureColdStart(ctx context.Context, s settings) ([]row, error) {
	open, err := install(ctx, s.ignited, "--sandbox", "off")
	if err != nil {
		return nil, err
	}
	defer open.remove()
	boxed, err := install(ctx, s.ignited, "--sandbox", "auto")
	if err != nil {
		return nil, err
	}
	defer boxed.remove()
	for _, in := range []*installation{open, boxed} {
		if err := in.deployCold(ctx, s.apps); err != nil {
			return nil, err
		}
	}
	ways := []*starting{
		{what: "static program, fork and exec, bare", once: func(int) (time.Duration, error) { return open.timeBare(ctx, open.command()) }},
		{what: "static program, sandbox off", once: open.timeCold(ctx, staticApp)},
		{what: "static program, in its sandbox", aim: "< 3 ms more than bare", once: boxed.timeCold(ctx, staticApp)},
		{what: "Python, its runtime's launcher alone, bare", once: func(int) (time.Duration, error) { return open.timeBare(ctx, open.pythonCommand()) }},
		{what: "Python, sandbox off", once: open.timeCold(ctx, pythonApp)},
		{what: "Python, in its sandbox", aim: "< 15 ms", once: boxed.timeCold(ctx, pythonApp)},
	}
	for n := range s.apps {
		for _, w := range ways {
			took, err := w.once(n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.what, err)
			}
			w.took = append(w.took, took)
		}
	}
	return coldRows(ways), nil
}

// coldRows holds every third way and its followers against it.
func coldRows(ways []*starting) []row {
	rows := make([]row, 0, len(ways))
	for i, w := range ways {
		bare := ways[i/3*3]
		r := row{"to the first 200: " + w.what, fmt.Sprintf("p50 %s, p90 %s", milliseconds(quantile(w.took, 0.5)), milliseconds(quantile(w.took, 0.9))), w.aim}
		if w != bare {
			r.figure += "; " + milliseconds(quantile(differences(w.took, bare.took), 0.5)) + " more than bare"
		}
		rows = append(rows, r)
	}
	return rows
}

// differences are those between what was measured in the same turn.
func differences(a, b []time.Duration) []time.Duration {
	more := make([]time.Duration, len(a))
	for i := range a {
		more[i] = a[i] - b[i]
	}
	return more
}

func staticApp(n int) string { return fmt.Sprintf("cold-%d", n) }
func pythonApp(n int) string { return fmt.Sprintf("python-%d", n) }

// deployCold publishes so many apps of both kinds, and calls one more of each: it unpacks the code, which all of them share, and whatever else is
// made once for all.
func (in *installation) deployCold(ctx context.Context, apps int) error {
	source, err := pack(map[string][]byte{"handler.py": []byte(handlerFile)})
	if err != nil {
		return err
	}
	python := func(r *ignitev1.CreateAppRequest) {
		r.Code = &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Compile{Compile: &ignitev1.CompileSource{
			Runtime:    &ignitev1.Runtime{Runtime: &ignitev1.Runtime_Python{Python: &ignitev1.PythonRuntime{}}},
			SourceCode: source,
		}}}
	}
	for n := range apps + 1 {
		if err := in.deploy(ctx, staticApp(n), nil); err != nil {
			return err
		}
		if err := in.deploy(ctx, pythonApp(n), python); err != nil {
			return err
		}
	}
	return errors.Join(in.warm(ctx, staticApp(apps)), in.warm(ctx, pythonApp(apps)))
}

// timeCold makes the first call of app n.
func (in *installation) timeCold(ctx context.Context, app func(int) string) func(int) (time.Duration, error) {
	return func(n int) (time.Duration, error) {
		request, err := in.direct(ctx, http.MethodPost, app(n), "/", nil)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		took := time.Since(began)
		if answer.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s: %s", app(n), answer.Status)
		}
		return took, answer.Body.Close()
	}
}

func (in *installation) command() *exec.Cmd { return exec.Command(in.program) }

// pythonCommand runs the runtime's own launcher on the handler, as its pods without a template do.
func (in *installation) pythonCommand() *exec.Cmd {
	launcher, _ := filepath.Abs("engine/build/python/launcher.py") // python3 says so if it is not there
	command := exec.Command("python3", launcher)
	command.Dir = in.dir
	return command
}

// timeBare runs command until it has answered, and ends it.
func (in *installation) timeBare(ctx context.Context, command *exec.Cmd) (time.Duration, error) {
	if err := os.WriteFile(filepath.Join(in.dir, "handler.py"), []byte(handlerFile), 0o600); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err := startBare(ctx, command)
	took := time.Since(began)
	return took, errors.Join(err, endBare(command))
}

// startBare forks and execs a program that serves on $PORT, and returns where once it answered 200.
func startBare(ctx context.Context, command *exec.Cmd) (url string, err error) {
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	command.Env = append(os.Environ(), "PORT="+portOf(address))
	if err := command.Start(); err != nil {
		return "", err
	}
	url = "http://" + address + "/"
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return url, poll(ctx, time.Millisecond, func() (bool, error) {
		answer, err := client.Post(url, "", nil)
		if err != nil {
			return false, nil
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
}

func endBare(command *exec.Cmd) error {
	if command.Process == nil {
		return nil
	}
	err := command.Process.Kill()
	_ = command.Wait() // it was killed
	return err
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
