package workloads

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/netfault"
)

// TestHTTP_WhenASharedConnectionIsSilent_FailsOneCallAndNotTheNext: with HTTP/2, all runs of a worker
// call a host over one connection. TCP gives a dead one up only after a quarter of an hour.
func TestHTTP_WhenASharedConnectionIsSilent_FailsOneCallAndNotTheNext(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, 2, r.ProtoMajor)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	proxy := netfault.NewProxy(t, server.Listener.Addr().(*net.TCPAddr).Port)
	client := newHTTPClient(true)
	defer client.CloseIdleConnections()
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	require.NotNil(t, transport.HTTP2)
	require.NotZero(t, transport.HTTP2.SendPingTimeout)
	require.LessOrEqual(t, transport.HTTP2.SendPingTimeout+transport.HTTP2.PingTimeout, 20*time.Second)
	transport.HTTP2.SendPingTimeout = 100 * time.Millisecond // a test does not wait so long
	call := func() error {
		_, err := run(t.Context(), &call{client: client},
			task(`{"url":"https://127.0.0.1:`+strconv.Itoa(proxy.Port)+`","timeout_seconds":60}`), &recorder{})
		return err
	}
	require.NoError(t, call())
	require.Equal(t, 1, proxy.Silence())
	err := call()
	requireRunError(t, err, "network", false)
	require.NotContains(t, err.Error(), "no answer in time", "not the run's own limit")
	require.NoError(t, call())
}
