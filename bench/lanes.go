package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

// lane is one road to the same program: straight to it, through Ignite, or through a proxy to compare with.
type lane struct {
	name    string
	address string
	// host and token are what Ignite finds and lets in a call by; others are given them as well.
	host, token string
	// proxy is the process in between, 0 if there is none; its children count as it if forks is set.
	proxy int
	forks bool
}

// get is a request as it goes over the wire.
func (l lane) get(pathAndQuery string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nUser-Agent: bench\r\n\r\n", pathAndQuery, l.host, l.token)
}

// Names of the lanes, in the order of the table.
const (
	straightLane = "straight to the pod"
	directLane   = "Ignite, direct host name"
	reverseLane  = "httputil.ReverseProxy"
	nginxLane    = "nginx"
)

// lanes are open until close.
type lanes struct {
	all []lane
	// missing says why a lane is not there.
	missing []row
	stops   []func()
}

func (l *lanes) close() {
	for _, stop := range l.stops {
		stop()
	}
}

// openLanes deploys the program with room for every call in one pod, and starts everything that leads to it.
func openLanes(ctx context.Context, in *installation) (l *lanes, err error) {
	l = &lanes{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err := in.deploy(ctx, "lane", roomy); err != nil {
		return l, err
	}
	if err := in.warm(ctx, "lane"); err != nil {
		return l, err
	}
	url, stop, err := in.startStraight(ctx)
	if err != nil {
		return l, err
	}
	l.stops = append(l.stops, stop)
	pod := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	l.add(in, straightLane, pod, 0)
	l.add(in, directLane, in.http, in.server.Process.Pid)
	if err := l.startReverseProxy(ctx, in, pod); err != nil {
		return l, err
	}
	return l, l.startNginx(ctx, in, pod)
}

// roomy lets an app have all the machine, in one pod.
func roomy(r *ignitev1.CreateAppRequest) {
	r.ResourceTier = ignitev1.ResourceTier_RESOURCE_TIER_XLARGE
	r.MaxConcurrency = 1000
	r.Scaling = &ignitev1.ScalingConfig{MaxReplicas: 1}
}

func (l *lanes) add(in *installation, name, address string, proxy int) {
	l.all = append(l.all, lane{name: name, address: address, host: hostOf("lane"), token: in.token, proxy: proxy, forks: name == nginxLane})
}

func hostOf(app string) string { return app + "-" + organization + ".ignite.localhost" }

func (l *lanes) startReverseProxy(ctx context.Context, in *installation, pod string) error {
	program := filepath.Join(in.dir, "reverseproxy")
	if err := buildStatic(ctx, program, "./bench/reverseproxy"); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	return l.start(ctx, in, reverseLane, address, exec.Command(program, address, "http://"+pod))
}

// start runs the program of a lane and waits until it answers.
func (l *lanes) start(ctx context.Context, in *installation, name, address string, command *exec.Cmd) error {
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	l.stops = append(l.stops, func() { _ = command.Process.Signal(os.Interrupt); _ = command.Wait() })
	l.add(in, name, address, command.Process.Pid)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := poll(ctx, 10*time.Millisecond, func() (bool, error) {
		answer, err := http.Get("http://" + address + "/bytes?1")
		if err != nil {
			return false, nil
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", name, err)
	}
	return nil
}

//go:embed nginx.conf
var nginxConfig string

// startNginx leaves the lane out if the machine has no nginx and cannot get one.
func (l *lanes) startNginx(ctx context.Context, in *installation, pod string) error {
	found := exec.CommandContext(ctx, "bench/nginx.sh", ".tools")
	program, err := found.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		l.missing = append(l.missing, row{nginxLane, "left out: " + strings.TrimSpace(string(exit.Stderr)), ""})
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for nginx: %w", err)
	}
	path, err := filepath.Abs(strings.TrimSpace(string(program)))
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	config := strings.NewReplacer("ADDRESS", address, "POD", pod).Replace(nginxConfig)
	file := filepath.Join(in.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	return l.start(ctx, in, nginxLane, address, exec.Command(path, "-p", in.dir, "-e", filepath.Join(in.dir, "nginx.log"), "-c", file))
}
