package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// NATS is an embedded NATS server.
type NATS struct {
	options *server.Options
	server  *server.Server
	Port    int
}

// StartNATS starts a server on a free port. It ends with the test. A maxPayload of 0 means the
// server's default, 1 MiB.
func StartNATS(tb testing.TB, maxPayload int32) *NATS {
	tb.Helper()
	n := &NATS{options: &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		MaxPayload: maxPayload}}
	require.NoError(tb, n.Start())
	tb.Cleanup(n.Stop)
	return n
}

// StartNATSWithTLS starts a server that speaks only TLS, and asks clients for a certificate of its
// authority, a user and a password. The files are PEM.
func StartNATSWithTLS(tb testing.TB, user, password string) (n *NATS, caFile, certFile, keyFile string) {
	tb.Helper()
	dir := tb.TempDir()
	ca, caKey := certificate(tb, nil, nil)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	cert, key := certificate(tb, ca, caKey)
	caFile, certFile, keyFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(tb, caFile, "CERTIFICATE", ca.Raw)
	writePEM(tb, certFile, "CERTIFICATE", cert.Raw)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	writePEM(tb, keyFile, "PRIVATE KEY", raw)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(tb, err)
	n = &NATS{options: &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, Username: user, Password: password,
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS12,
		},
	}}
	require.NoError(tb, n.Start())
	tb.Cleanup(n.Stop)
	return n, caFile, certFile, keyFile
}

// certificate makes a certificate for loopback, signed by parent. Without a parent it makes an
// authority.
func certificate(tb testing.TB, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate,
	*ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "niyanta test"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
			x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(tb, err)
	return cert, key
}

func writePEM(tb testing.TB, path, kind string, raw []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600))
}

// Start starts a stopped server again, on the same port.
func (n *NATS) Start() error {
	s, err := server.NewServer(n.options)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the NATS server does not become ready")
	}
	n.server, n.Port = s, s.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener it is one
	n.options.Port = n.Port
	return nil
}

// Stop stops the server.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// URL returns the address of the server.
func (n *NATS) URL() string { return n.server.ClientURL() }
