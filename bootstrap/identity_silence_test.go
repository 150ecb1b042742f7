package bootstrap

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/contracttests/netfault"
)

// TestIssuerTransport_WhenItsConnectionIsSilent_MakesANewOne: with HTTP/2, a request that times out
// leaves its connection to the next one.
func TestIssuerTransport_WhenItsConnectionIsSilent_MakesANewOne(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, 2, r.ProtoMajor)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	trusted, err := certificates.Open(certificates.Files{CA: ca}, silent)
	require.NoError(t, err)
	transport := issuerTransport(trusted)
	defer transport.CloseIdleConnections()
	require.NotNil(t, transport.HTTP2)
	require.NotZero(t, transport.HTTP2.SendPingTimeout)
	transport.HTTP2.SendPingTimeout = 100 * time.Millisecond // a test does not wait so long
	proxy := netfault.NewProxy(t, server.Listener.Addr().(*net.TCPAddr).Port)
	get := func() error {
		client := &http.Client{Transport: transport, Timeout: time.Minute}
		resp, err := client.Get("https://127.0.0.1:" + strconv.Itoa(proxy.Port))
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	require.NoError(t, get())
	require.Equal(t, 1, proxy.Silence())
	if err := get(); err != nil {
		require.NotContains(t, err.Error(), "Client.Timeout")
	}
	require.NoError(t, get())
}
