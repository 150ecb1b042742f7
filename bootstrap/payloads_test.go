package bootstrap

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLists_OfLargePayloads_TakePlacesUntilTheyAreRead: a page may have a hundred inputs and results of
// 1 MiB each. A request for one takes the places of as many others, until the client has taken the
// answer or is gone. Otherwise a customer with a few slow connections fills a coordinator's memory.
func TestLists_OfLargePayloads_TakePlacesUntilTheyAreRead(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) { c.MaxRequestsPerCustomer = 20 })
	filler := strings.Repeat("x", 900<<10)
	for i := range 12 {
		require.Equal(t, 202, a.call("POST", "/v1/workloads", a.dev.CustomerKey, map[string]any{
			"workload_type": "t", "input_params": map[string]any{"x": filler},
		}).status)
		require.Equal(t, 201, a.call("POST", "/v1/workload-configs", a.dev.CustomerKey, map[string]any{
			"workload_type": fmt.Sprint("t", i), "config_json": map[string]any{"x": filler},
		}).status)
	}
	for _, path := range []string{"/v1/workloads", "/v1/workload-configs"} {
		t.Run(path, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(a.dev.App.URL(), "http://"))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
			_, err = fmt.Fprintf(conn, "GET %s?limit=12 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path,
				a.dev.CustomerKey)
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.NoError(t, err, "it is being answered")
			a.refused(a.call("GET", path+"?limit=12", a.dev.CustomerKey, nil), 503, "SERVICE_UNAVAILABLE", "")
			require.NoError(t, conn.Close())
			require.Eventually(t, func() bool {
				return a.call("GET", path+"?limit=12", a.dev.CustomerKey, nil).status == 200
			}, 30*time.Second, 10*time.Millisecond)
		})
	}
	require.Equal(t, 200, a.call("GET", "/v1/workload-configs?limit=1", a.dev.CustomerKey, nil).status)
}
