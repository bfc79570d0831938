package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const organization = "bench"

// installation is a running ignited with a fresh data folder.
type installation struct {
	dir       string
	program   string // the pod, built
	archive   []byte // the pod, packed
	http      string
	token     string
	server    *exec.Cmd
	grpc      string
	conn      *grpc.ClientConn
	compute   ignitev1.ComputeServiceClient
	serverLog *os.File
}

// install starts the server with the given flags, beside those that every installation has.
func install(ctx context.Context, ignited string, flags ...string) (*installation, error) {
	dir, err := os.MkdirTemp("", "ignite-bench-")
	if err != nil {
		return nil, err
	}
	in := &installation{dir: dir, program: filepath.Join(dir, "app")}
	if err := in.buildApp(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := in.start(ctx, ignited, flags); err != nil {
		in.remove()
		return nil, err
	}
	return in, nil
}

func (in *installation) buildApp(ctx context.Context) error {
	if err := buildStatic(ctx, in.program, "./bench/app"); err != nil {
		return err
	}
	binary, err := os.ReadFile(in.program)
	if err != nil {
		return err
	}
	in.archive, err = pack(map[string][]byte{"app": binary, "Procfile": []byte("web: ./app\n")})
	return err
}

func buildStatic(ctx context.Context, target, program string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", target, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return nil
}

func pack(files map[string][]byte) ([]byte, error) {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(compressed)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	err := errors.Join(archive.Close(), compressed.Close())
	return buffer.Bytes(), err
}

func (in *installation) start(ctx context.Context, ignited string, flags []string) error {
	var err error
	if in.http, err = freeAddress(); err != nil {
		return err
	}
	if in.grpc, err = freeAddress(); err != nil {
		return err
	}
	if in.serverLog, err = os.Create(filepath.Join(in.dir, "server.log")); err != nil {
		return err
	}
	data := filepath.Join(in.dir, "data")
	flags = append(flags, "--data-dir", data, "--http-listen-addr", in.http, "--api-listen-addr", in.grpc)
	in.server = exec.Command(ignited, flags...)
	in.server.Stderr = in.serverLog
	if err := in.server.Start(); err != nil {
		return err
	}
	if err := in.waitReady(ctx); err != nil {
		return err
	}
	token, err := exec.CommandContext(ctx, ignited, "token", "--org", organization, "--data-dir", data).Output()
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	in.token = strings.TrimSpace(string(token))
	in.conn, err = in.dial()
	in.compute = ignitev1.NewComputeServiceClient(in.conn)
	return err
}

func (in *installation) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient(in.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (in *installation) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		answer, err := http.Get("http://" + in.http + "/readyz")
		if err != nil {
			return false, nil
		}
		return answer.StatusCode == http.StatusOK, answer.Body.Close()
	})
}

// poll asks every interval until done says so.
func poll(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remove stops the server and deletes everything.
func (in *installation) remove() {
	if in.conn != nil {
		_ = in.conn.Close()
	}
	if in.server != nil && in.server.Process != nil {
		_ = in.server.Process.Signal(syscall.SIGTERM)
		_ = in.server.Wait()
	}
	if in.serverLog != nil {
		_ = in.serverLog.Close()
	}
	_ = os.RemoveAll(in.dir)
}

func (in *installation) authorized(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+in.token)
}

// deploy publishes the pod under a name.
func (in *installation) deploy(ctx context.Context, name string, alter func(*ignitev1.CreateAppRequest)) error {
	ctx = in.authorized(ctx)
	request := &ignitev1.CreateAppRequest{
		OrganizationName: organization, Name: name,
		Code: &ignitev1.CodeSource{Source: &ignitev1.CodeSource_Image{Image: &ignitev1.ImageSource{
			Source: &ignitev1.ImageSource_FromCode{FromCode: &ignitev1.CodeArchive{SourceCode: in.archive}}}}},
	}
	if alter != nil {
		alter(request)
	}
	if _, err := in.compute.CreateApp(ctx, request, grpc.MaxCallSendMsgSize(64<<20)); err != nil {
		return fmt.Errorf("create app %s: %w", name, err)
	}
	_, err := in.compute.PublishDraft(ctx, &ignitev1.PublishDraftRequest{OrganizationName: organization, AppName: name})
	return err
}

// direct makes a request to an app's own host name.
func (in *installation) direct(ctx context.Context, method, app, pathAndQuery string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+in.http+pathAndQuery, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Host = hostOf(app)
	request.Header.Set("Authorization", "Bearer "+in.token)
	return request, nil
}

// residentBytes is the server's resident memory, pods excluded.
func (in *installation) residentBytes() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.server.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}
