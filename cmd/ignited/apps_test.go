package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// probeBinary builds the pod of these tests, once for all of them.
var probeBinary = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "ignite-probe-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	target := filepath.Join(dir, "probe")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the probe: %w\n%s", err, out)
	}
	return os.ReadFile(target)
})

func probeArchive(t *testing.T) []byte {
	t.Helper()
	binary, err := probeBinary()
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, map[string][]byte{"probe": binary, "Procfile": []byte("web: ./probe\n")})
}

// pack makes a tar.gz of executable files. It is stored as it is: the servers under test unpack with the race detector on, slowly.
func pack(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&buffer, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// example packs a folder of the repository's examples.
func example(t *testing.T, name string) []byte {
	t.Helper()
	files := map[string][]byte{}
	root := filepath.Join("..", "..", "examples", name)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(relative)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, files)
}

func pythonCode(archive []byte) string {
	return fmt.Sprintf(`{"compile":{"runtime":{"python":{}},"sourceCode":%q}}`, base64.StdEncoding.EncodeToString(archive))
}

func procfileCode(archive []byte) string {
	return fmt.Sprintf(`{"image":{"fromCode":{"sourceCode":%q}}}`, base64.StdEncoding.EncodeToString(archive))
}

// deploy creates and publishes an app of acme-corp over plain HTTP. settings are further JSON members, such as `"env":{…}`.
func (s *server) deploy(t *testing.T, name, code, settings string) {
	t.Helper()
	if settings != "" {
		settings = "," + settings
	}
	request := fmt.Sprintf(`{"name":%q,"code":%s%s}`, name, code, settings)
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp", request); status != http.StatusOK {
		t.Fatalf("create %s: %d %v", name, status, answer)
	}
	if status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp/"+name+"/draft/publish", "{}"); status != http.StatusOK {
		t.Fatalf("publish %s: %d %v", name, status, answer)
	}
}

// submit calls InvokeAsync and answers the id.
func (s *server) submit(t *testing.T, app, request string) string {
	t.Helper()
	status, answer := s.do(t, http.MethodPost, "/v1/ignite/app/acme-corp/"+app+"/invoke-async", request)
	id, _ := answer["executionId"].(string)
	if status != http.StatusOK || id == "" {
		t.Fatalf("submit to %s: %d %v", app, status, answer)
	}
	return id
}

// execution reads a record.
func (s *server) execution(t *testing.T, id string) map[string]any {
	t.Helper()
	status, answer := s.do(t, http.MethodGet, "/v1/ignite/executions/"+id, "")
	execution, _ := answer["execution"].(map[string]any)
	if status != http.StatusOK || execution == nil {
		t.Fatalf("get %s: %d %v", id, status, answer)
	}
	return execution
}

// await follows a watch to its end and answers the terminal record.
func (s *server) await(t *testing.T, id string) map[string]any {
	t.Helper()
	answer, err := http.DefaultClient.Do(s.request(t, http.MethodGet, "/v1/ignite/executions/"+id+"/watch", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	decoder := json.NewDecoder(answer.Body)
	var last map[string]any
	for {
		var frame struct{ Execution map[string]any }
		if err := decoder.Decode(&frame); err != nil {
			break // the stream ends after the terminal record; what it held is checked by the caller
		}
		if frame.Execution != nil {
			last = frame.Execution
		}
	}
	if last == nil {
		t.Fatalf("watch %s: %s without a record\n%s", id, answer.Status, s.logs)
	}
	return last
}

// result decodes a record's result.
func result(t *testing.T, execution map[string]any) []byte {
	t.Helper()
	encoded, _ := execution["result"].(string)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// direct makes a request to an app's own host name.
func (s *server) direct(t *testing.T, method, app, pathAndQuery string, body []byte) *http.Request {
	t.Helper()
	request := s.request(t, method, pathAndQuery, bytes.NewReader(body))
	request.Host = app + "-acme-corp.ignite.localhost"
	return request
}
