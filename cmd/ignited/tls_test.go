package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
)

const tlsDomain = "apps.test"

// writeCertificate puts a certificate of its own for names, and its key, into files.
func writeCertificate(t *testing.T, dir string, serial int64, names ...string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		keyFile:  {Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))},
		certFile: {Type: "CERTIFICATE", Bytes: raw},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(raw)))
	return certFile, keyFile, roots
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// overTLS is a client that finds every name at the server.
func overTLS(t *testing.T, address string, roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestGivenCertificateEncryptsBothListeners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, roots := writeCertificate(t, dir, 1, tlsDomain, "*."+tlsDomain)
	s := launch(t, t.TempDir(), "--base-domain", tlsDomain, "--tls-cert-file", certFile, "--tls-key-file", keyFile)
	answer, err := overTLS(t, s.http, roots).Get("https://" + tlsDomain + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 200 || answer.ProtoMajor != 2 {
		t.Errorf("answer is %s over %s", answer.Status, answer.Proto)
	}
	conn := must(grpc.NewClient(s.grpc, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: tlsDomain}))))
	defer func() { _ = conn.Close() }()
	if _, err := ignitev1.NewComputeServiceClient(conn).HealthCheck(t.Context(), &ignitev1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	if answer, err := http.Get("http://" + s.http + "/healthz"); err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode == 200 {
			t.Error("the HTTP listener answers in the clear, too")
		}
	}
	_, _, renewed := writeCertificate(t, dir, 2, tlsDomain)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		answer, err := overTLS(t, s.http, renewed).Get("https://" + tlsDomain + "/healthz")
		if err == nil {
			_ = answer.Body.Close()
			return
		}
		<-tick.C
	}
	t.Error("the new certificate is not used")
}

func TestCertificateFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	certFile, _, _ := writeCertificate(t, t.TempDir(), 1, tlsDomain)
	_, keyFile, _ := writeCertificate(t, t.TempDir(), 2, tlsDomain)
	for _, key := range []string{keyFile, filepath.Join(t.TempDir(), "none.pem")} {
		command := self("--data-dir", t.TempDir(), "--http-listen-addr", "127.0.0.1:0", "--api-listen-addr", "127.0.0.1:0",
			"--tls-cert-file", certFile, "--tls-key-file", key)
		if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "IGNITE_TLS_KEY_FILE") {
			t.Errorf("with %s it ends with %v:\n%s", key, err, out)
		}
	}
}

// authority is a real ACME server, Let's Encrypt's own for tests, that finds every name on this machine.
type authority struct {
	server *httptest.Server
	// issuer is who signs certificates.
	issuer *ca.CAImpl
	mu     sync.Mutex
	front  http.Handler
}

// newAuthority answers one that does not work yet: it has to know where to look, and who is looked at has to know the authority.
func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		front := a.front
		a.mu.Unlock()
		front.ServeHTTP(w, r)
	}))
	t.Cleanup(a.server.Close)
	return a
}

// lookAt makes the authority work, and look for every name at address.
func (a *authority) lookAt(t *testing.T, address string) {
	t.Helper()
	_, text, _ := net.SplitHostPort(address)
	logger, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	a.issuer = ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	validation := va.New(logger, 1, must(strconv.Atoi(text)), false, everyNameHere(t), store)
	front := wfe.New(logger, store, validation, a.issuer, []string{"ca.test"}, false, false, 1, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.front = front.Handler()
}

// everyNameHere is a name server that finds every name at 127.0.0.1.
func everyNameHere(t *testing.T) string {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := (&dns.Msg{}).SetReply(question)
		if q := question.Question[0]; q.Qtype == dns.TypeA {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1),
			})
		}
		_ = w.WriteMsg(answer) // who does not hear it asks again
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return listener.Addr().String()
}

// Not parallel: the authority and the server's trust in it are set by the environment.
func TestCertificatesAreFetchedForTheAPIAndForApps(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	a := newAuthority(t)
	trusted := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trusted)
	dir := t.TempDir()
	s := launch(t, dir, "--base-domain", tlsDomain, "--tls-auto-email", "ops@apps.test", "--tls-auto-ca", a.server.URL+wfe.DirectoryPath)
	a.lookAt(t, s.http)
	roots := x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(a.issuer.GetRootCert(0).DER)))

	client := overTLS(t, s.http, roots)
	answer, err := client.Get("https://" + tlsDomain + "/healthz")
	if err != nil {
		t.Fatalf("%v\n%s", err, s.logs)
	}
	_ = answer.Body.Close()
	if _, err := client.Get("https://nothing-acme." + tlsDomain + "/"); err == nil {
		t.Error("a name that no app has got a certificate")
	}
	s.token = s.mint(t, "--org", "acme-corp")
	label := s.publishOver(t, client)
	if answer, err = client.Get("https://" + label + "." + tlsDomain + "/"); err != nil {
		t.Fatalf("%v\n%s", err, s.logs)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized || answer.TLS.PeerCertificates[0].DNSNames[0] != label+"."+tlsDomain {
		t.Errorf("answer is %s for %v", answer.Status, answer.TLS.PeerCertificates[0].DNSNames)
	}
}

// publishOver publishes an app through the API, and answers its host label.
func (s *server) publishOver(t *testing.T, client *http.Client) string {
	t.Helper()
	call := func(path string, request map[string]any) map[string]any {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), "POST", "https://"+tlsDomain+path, strings.NewReader(string(must(json.Marshal(request))))))
		r.Header.Set("Authorization", "Bearer "+s.token)
		response := must(client.Do(r))
		defer func() { _ = response.Body.Close() }()
		var answer map[string]any
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != 200 {
			t.Fatalf("%s answers %s %v, %v", path, response.Status, answer, err)
		}
		return answer
	}
	code := json.RawMessage(pythonCode(example(t, "hello")))
	call("/v1/ignite/app/acme-corp", map[string]any{"name": "hello", "code": code})
	published := call("/v1/ignite/app/acme-corp/hello/draft/publish", map[string]any{})
	primary := published["app"].(map[string]any)["publicUrls"].([]any)[0].(string)
	if !strings.HasPrefix(primary, "https://hello-acme-corp."+tlsDomain) {
		t.Errorf("public URL is %s", primary)
	}
	label, _, _ := strings.Cut(must(url.Parse(primary)).Host, ".")
	return label
}
