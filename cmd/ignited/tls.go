package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// openTLS decides how the listeners are encrypted: with a certificate from files, with certificates that are fetched, or not at all.
func (s *system) openTLS(context.Context) error {
	config := s.config.TLS
	switch {
	case !s.config.HasRole(roleGateway):
	case config.CertFile != "":
		files := &certificateFiles{cert: config.CertFile, key: config.KeyFile, log: s.logger}
		if err := files.load(); err != nil {
			return fmt.Errorf("%s and %s: %w", envName("tls_cert_file"), envName("tls_key_file"), err)
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.get}
	case config.AutoEmail != "":
		s.certificates = newCertificates(s.config, s.mayHaveCertificate, s.logger)
		s.tls = s.certificates.config.TLSConfig()
		s.tls.MinVersion = tls.VersionTLS12
	}
	return nil
}

// mayHaveCertificate reports as an error that name is neither the base domain, where the API is, nor the host of an app. Without it anybody
// could use up what the authority gives out, by asking us for names of their own.
func (s *system) mayHaveCertificate(_ context.Context, name string) error {
	base := s.config.Gateway.BaseDomain
	if name == base {
		return nil
	}
	if label, ok := strings.CutSuffix(name, "."+base); ok {
		if _, _, published := s.store.Host(label); published {
			return nil
		}
	}
	return fmt.Errorf("%q is neither %s nor the host of an app", name, base)
}

// certificates are fetched, one for each name, when the name is first asked for, and renewed before they end.
type certificates struct {
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

func newCertificates(config Config, may func(context.Context, string) error, log *slog.Logger) *certificates {
	c := &certificates{}
	c.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return c.config, nil },
		Logger:           zap.NewNop(), // what matters is an event, too
	})
	c.config = certmagic.New(c.cache, certmagic.Config{
		Storage:           &certmagic.FileStorage{Path: filepath.Join(config.DataDir, "certificates")},
		OnDemand:          &certmagic.OnDemandConfig{DecisionFunc: may},
		DefaultServerName: config.Gateway.BaseDomain,
		OnEvent: func(ctx context.Context, event string, data map[string]any) error {
			return logCertificate(ctx, log, event, data)
		},
		Logger: zap.NewNop(),
	})
	c.issuer = certmagic.NewACMEIssuer(c.config, certmagic.ACMEIssuer{
		CA:     config.TLS.AutoCA,
		Email:  config.TLS.AutoEmail,
		Agreed: true,
		// The authority looks at the HTTP listener itself (TLS-ALPN); there is none for plain HTTP.
		DisableHTTPChallenge: true,
		Logger:               zap.NewNop(),
	})
	c.config.Issuers = []certmagic.Issuer{c.issuer}
	return c
}

// answerAt says where the authority's questions come in: on the HTTP listener, so that no other is opened for them.
func (c *certificates) answerAt(listener net.Addr) {
	if address, ok := listener.(*net.TCPAddr); ok {
		c.issuer.AltTLSALPNPort = address.Port
		if !address.IP.IsUnspecified() {
			c.issuer.ListenHost = address.IP.String()
		}
	}
}

// logCertificate says what became of a certificate; every other event is the library's own business.
func logCertificate(ctx context.Context, log *slog.Logger, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		log.InfoContext(ctx, "certificate fetched", slog.String("name", name))
	case "cert_failed":
		err, _ := data["error"].(error)
		log.WarnContext(ctx, "certificate could not be fetched", slog.String("name", name), slog.Any("error", err))
	}
	return nil
}

// certificateFiles answers the certificate that is in two files. It looks for newer ones when somebody connects, at most once a second.
type certificateFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed [2]time.Time
	current *tls.Certificate
}

const lookInterval = time.Second

// load reads the files as they are.
func (f *certificateFiles) load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Now()
	changed, err := f.times()
	if err != nil || changed == f.changed {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.current, f.changed = &pair, changed
	return nil
}

func (f *certificateFiles) times() (changed [2]time.Time, err error) {
	for i, name := range []string{f.cert, f.key} {
		info, failed := os.Stat(name)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		changed[i] = info.ModTime()
	}
	return changed, err
}

// get goes on with the certificate that it has while the files do not fit together, as they do not while they are being replaced.
func (f *certificateFiles) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	due := time.Since(f.looked) >= lookInterval
	f.mu.Unlock()
	if due {
		if err := f.load(); err != nil {
			f.log.WarnContext(hello.Context(), "certificate files cannot be read, the earlier ones are used", slog.Any("error", err))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, nil
}
