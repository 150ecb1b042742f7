package servers

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
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
	n := &NATS{options: &server.Options{Host: "127.0.0.1", NoLog: true, NoSigs: true, MaxPayload: maxPayload}}
	require.NoError(tb, onFreePort(&n.options.Port, n.Start))
	tb.Cleanup(n.Stop)
	return n
}

// StartNATSWithTLS starts a server that speaks only TLS, and asks clients for a certificate of the
// authority, a user and a password.
func StartNATSWithTLS(tb testing.TB, a *testfiles.Authority, user, password string) *NATS {
	tb.Helper()
	shown := a.Issue(tb, "nats")
	pair, err := tls.LoadX509KeyPair(shown.Cert, shown.Key)
	require.NoError(tb, err)
	n := &NATS{options: &server.Options{
		Host: "127.0.0.1", NoLog: true, NoSigs: true, Username: user, Password: password,
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS12,
		},
	}}
	require.NoError(tb, onFreePort(&n.options.Port, n.Start))
	tb.Cleanup(n.Stop)
	return n
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

// SetPassword changes the password of the server's user. It holds from the next Start.
func (n *NATS) SetPassword(password string) { n.options.Password = password }

// Stop stops the server.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// URL returns the address of the server.
func (n *NATS) URL() string { return n.server.ClientURL() }
