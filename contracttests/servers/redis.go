package servers

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// Redis is a Redis server that keeps nothing on disk.
type Redis struct {
	dir, path string
	args      []string // before the port
	Port      int

	mu     sync.Mutex
	server *process
}

// StartRedis starts a server on a free port. It ends with the test.
func StartRedis(tb testing.TB) *Redis {
	tb.Helper()
	return startRedis(tb, "--port")
}

// StartRedisWithTLS starts a server that speaks only TLS, and asks clients for a certificate of the
// authority.
func StartRedisWithTLS(tb testing.TB, a *testfiles.Authority) *Redis {
	tb.Helper()
	shown := a.Issue(tb, "redis")
	return startRedis(tb, "--port", "0", "--tls-auth-clients", "yes", "--tls-ca-cert-file", a.CA,
		"--tls-cert-file", shown.Cert, "--tls-key-file", shown.Key, "--tls-port")
}

// startRedis starts a server. The arguments end with the one that the port follows.
func startRedis(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	r := &Redis{args: args}
	var err error
	r.path, err = find("redis-server")
	require.NoError(tb, err)
	r.dir, err = testfiles.Folder("rd")
	require.NoError(tb, err)
	require.NoError(tb, onFreePort(&r.Port, r.Start))
	tb.Cleanup(func() {
		r.Stop()
		_ = os.RemoveAll(r.dir) // a temporary folder
	})
	return r
}

// Start starts a stopped server again, on the same port and empty.
func (r *Redis) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	r.server, err = start(r.dir, r.path, slices.Concat(r.args, []string{
		fmt.Sprint(r.Port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir,
	})...)
	if err != nil {
		return err
	}
	return r.server.ready(func() error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Stop kills the server.
func (r *Redis) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server.end(syscall.SIGKILL)
}

// URL returns the address of the server.
func (r *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", r.Port) }
