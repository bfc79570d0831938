package main

import (
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

func TestLoopback(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"127.0.0.1:50051": true, "localhost:1": true, "[::1]:50051": true, "127.9.9.9:1": true,
		"rpc.example.com:443": false, "192.168.0.1:50051": false, "localhost.example.com:1": false,
	} {
		if near, err := loopback(endpoint); near != want || err != nil {
			t.Errorf("%s: %t, %v", endpoint, near, err)
		}
	}
	for _, endpoint := range []string{"", "host", ":50051", "host:port", "host:70000", "http://host:1/"} {
		if _, err := loopback(endpoint); exitCode(err) != exitUsage {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestServerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	r := newShell(t, nil).run("app", "delete", "acme:hello", "--api-endpoint", address)
	if r.code != 9 {
		t.Errorf("exit code %d, want 9", r.code)
	}
	wantContains(t, r.stderr, "Is ignited running at "+address+"?")
}

func TestServerThatDoesNotSpeakTLS(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	_, port, err := net.SplitHostPort(server.address)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "0.0.0.0:" + port // leads to this machine and yet is no loopback address, so the client wants TLS
	sh := newShell(t, server)
	if r := sh.run("app", "delete", "acme:hello", "--api-endpoint", endpoint); r.code != 9 {
		t.Errorf("exit code %d, want 9: %s", r.code, r.stderr)
	} else {
		wantContains(t, r.stderr, "does not speak TLS")
	}
	server.on("DeleteApp", &ignitev1.DeleteAppResponse{})
	sh.succeeds("app", "delete", "acme:hello", "--api-endpoint", endpoint, "--debug")
	sh.env["IGNITE_DEBUG"] = "1"
	sh.succeeds("app", "delete", "acme:hello", "--api-endpoint", endpoint)
}

func TestServerHereThatSpeaksTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	defer server.Close()
	address := server.Listener.Addr().String()
	sh := newShell(t, nil)
	plain := sh.run("app", "delete", "acme:hello", "--api-endpoint", address)
	wantContains(t, plain.stderr, "name it as https://"+address)
	encrypted := sh.run("app", "delete", "acme:hello", "--api-endpoint", "https://"+address)
	wantContains(t, encrypted.stderr, "SSL_CERT_FILE") // the server of the test signs for itself
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes the connection and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	began := time.Now()
	r := newShell(t, nil).run("app", "delete", "acme:hello", "--timeout", "50ms", "--api-endpoint", listener.Addr().String())
	if r.code != 8 || time.Since(began) > 10*time.Second {
		t.Errorf("exit code %d after %s", r.code, time.Since(began))
	}
	wantContains(t, r.stderr, "Give it longer with --timeout.")
}
