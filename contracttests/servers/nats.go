package servers

import (
	"errors"
	"net"
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

// StartNATS starts a server on a free port; it ends with the test. maxPayload of 0 is the server's default (1 MiB).
func StartNATS(tb testing.TB, maxPayload int32) *NATS {
	tb.Helper()
	n := &NATS{options: &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxPayload: maxPayload}}
	require.NoError(tb, n.Start())
	tb.Cleanup(n.Stop)
	return n
}

// Start starts a server that was stopped, on the same port.
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

// Stop stops it.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// URL is where it listens.
func (n *NATS) URL() string { return n.server.ClientURL() }
