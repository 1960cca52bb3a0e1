// Package server is the server of a farm: NATS with JetStream in this process, with a token, with TLS where it listens
// to other hosts, and with limits.
//
// It knows nothing of parts; package farm does. Start with Start.
package server

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/nats-io/nats-server/v2/server"

	"tokentest/harness/farm"
	"tokentest/harness/usage"
)

// Options are how a server runs.
type Options struct {
	Listen string // HOST:PORT; port 0 takes a free one
	Store  string // the directory of what it keeps
	Bytes  int64  // what it may keep; 0 means DefaultGiB
	Name   string // its name in a cluster; "" means that it is alone
	// Routes are the HOST:PORT at which the servers of a cluster find each other, this one's first.
	Routes []string
	Teams  []Team // that share it; none means that there is one farm
}

// DefaultGiB is what a server may keep if nobody says it.
const DefaultGiB = 20

const (
	maxPayload   = 1 << 20
	buffered     = 1 << 30 // bytes that wait for the disk: a client sends the largest blob without waiting
	readyWithin  = 20 * time.Second
	tokenFile    = "token"
	certFile     = "cert.pem"
	keyFile      = "key.pem"
	certLifetime = 5 * 365 * 24 * time.Hour
)

// Server is a server that runs.
type Server struct {
	*server.Server
	URL  *farm.URL   // the first of URLs
	URLs []*farm.URL // one for each team

	store, token string
}

// Start starts a server. What it keeps in its directory it finds again: its token, its certificate and its streams.
func Start(o Options) (*Server, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil {
		return nil, usage.Errorf("--listen %s: must be HOST:PORT", o.Listen)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	if err := os.MkdirAll(o.Store, 0o700); err != nil {
		return nil, fmt.Errorf("make the farm's store: %w", err)
	}
	u := &farm.URL{TLS: !farm.Loopback(o.Listen)}
	if u.Token, err = keptToken(o.Store); err != nil {
		return nil, err
	}
	options := &server.Options{Host: host, Port: n, Authorization: u.Token, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: o.Store, SyncAlways: true, MaxPayload: maxPayload, JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore: cmp.Or(o.Bytes, DefaultGiB<<30), PingInterval: 10 * time.Second, ServerName: o.Name,
		StreamMaxBufferedSize: buffered}
	if u.TLS {
		if options.TLSConfig, u.Cert, err = certificate(o.Store, host); err != nil {
			return nil, err
		}
		options.TLS, options.TLSTimeout = true, 10
	}
	if err := cluster(options, o, u.Token); err != nil {
		return nil, err
	}
	token, urls := u.Token, []*farm.URL{u}
	if len(o.Teams) > 0 {
		if urls, err = teams(options, o.Teams, *u, o.Store); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("start the farm's server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(readyWithin) {
		s.Shutdown()
		return nil, fmt.Errorf("start the farm's server on %s: it does not become ready: the address may be in use", o.Listen)
	}
	for _, u := range urls {
		u.Hosts = []string{reachable(host, s.Addr())}
	}
	return &Server{Server: s, URL: urls[0], URLs: urls, store: o.Store, token: token}, nil
}

// reachable is the address that others reach the server at.
func reachable(host string, addr net.Addr) string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

// cluster makes the server one of several.
func cluster(to *server.Options, o Options, token string) error {
	if len(o.Routes) == 0 {
		return nil
	}
	host, port, err := net.SplitHostPort(o.Routes[0])
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil || o.Name == "" {
		return usage.Errorf("a server of a cluster needs a name, and its own HOST:PORT as the first route")
	}
	to.Cluster = server.ClusterOpts{Name: "tokentest", Host: host, Port: n, Username: "route", Password: token}
	if to.TLSConfig != nil {
		to.Cluster.TLSConfig, to.Cluster.TLSTimeout = to.TLSConfig.Clone(), 10
	}
	for _, r := range o.Routes[1:] {
		to.Routes = append(to.Routes, &url.URL{Scheme: "nats", Host: r, User: url.UserPassword("route", token)})
	}
	return nil
}

// Stop ends the server.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// keptToken returns the token in the directory, and makes one if there is none.
func keptToken(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a place for the farm's token: %w", err)
	}
	path := filepath.Join(dir, tokenFile)
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the farm's token: %w", err)
	}
	b := make([]byte, 24)
	rand.Read(b)
	token := hex.EncodeToString(b)
	return token, keepToken(dir, token)
}

// keepToken gives a server its token.
func keepToken(dir, token string) error {
	if err := renameio.WriteFile(filepath.Join(dir, tokenFile), []byte(token+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the farm's token: %w", err)
	}
	return nil
}

// certificate returns the TLS settings of the certificate in the directory, which it makes if there is none, and the
// certificate's digest. Who has the URL knows the digest, so no authority is needed.
func certificate(dir, host string) (*tls.Config, string, error) {
	cert, key := filepath.Join(dir, certFile), filepath.Join(dir, keyFile)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeCertificate(cert, key, host); err == nil {
			pair, err = tls.LoadX509KeyPair(cert, key)
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the farm's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, "", fmt.Errorf("read the farm's certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}, farm.Fingerprint(leaf), nil
}

func makeCertificate(certPath, keyPath, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "tokentest farm"},
		DNSNames:  []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
			x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if err := renameio.WriteFile(keyPath, pemKey, 0o600); err != nil {
		return err
	}
	return renameio.WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
