package bootstrap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// saver has a worker of its own run a workload of cust_dev and save a checkpoint for each of data.
func (a *api) saver(data ...[]byte) (path string) {
	a.Helper()
	const session = "worker_id=saver&session_id=ses_saver&generation=1"
	worker := func(method, path string, body any) answer {
		req := a.request(method, path, a.dev.WorkerKey, body)
		if method == http.MethodPut {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		ans := a.do(req)
		require.Equal(a, 200, ans.status, ans.body)
		return ans
	}
	worker("POST", "/v1/worker/register", map[string]any{
		"worker_id": "saver", "session_id": "ses_saver", "capabilities": []any{"saver"}, "slots": 1,
	})
	id := a.submit(map[string]any{"workload_type": "saver", "input_params": map[string]any{}})
	path = "/v1/workloads/" + id
	a.until(path, "status", "SCHEDULED")
	worker("POST", "/v1/worker/report", map[string]any{
		"worker_id": "saver", "session_id": "ses_saver", "reports": []any{
			map[string]any{"report_id": "r", "workload_id": id, "generation": 1, "event": "start"},
		},
	})
	for i, b := range data {
		target := fmt.Sprintf("/v1/worker/workloads/%s/checkpoints/%d?%s", id, i+1, session)
		require.Equal(a, "applied", worker(http.MethodPut, target, bytes.NewReader(b)).field("outcome"))
	}
	return path
}

// TestCheckpoint_Read_GivesTheBytesThatWereSaved also covers who may not read them.
func TestCheckpoint_Read_GivesTheBytesThatWereSaved(t *testing.T) {
	onEachStore(t, func(a *api) {
		t := a.T
		random := make([]byte, 3<<20)
		source := rand.NewChaCha8([32]byte{1})
		_, _ = source.Read(random) // never fails, by its documentation
		saved := [][]byte{[]byte(`{"page":12}`), {}, random, bytes.Repeat([]byte("same "), 1<<20), {0, 0xff, '<'}}
		path := a.saver(saved...)
		for i, want := range saved {
			at := fmt.Sprintf("%s/checkpoints/%d", path, i+1)
			info := a.call("GET", at, a.dev.CustomerKey, nil)
			require.Equal(t, 200, info.status, info.body)
			require.InDelta(t, len(want), info.field("size_bytes"), 0)
			require.InDelta(t, i+1, info.field("sequence"), 0)
			for _, key := range []string{a.dev.CustomerKey, a.dev.AdminKey} {
				ans := a.call("GET", at+"?data=true", key, nil)
				require.Equal(t, 200, ans.status)
				require.Equal(t, "application/octet-stream", ans.header.Get("Content-Type"))
				require.Equal(t, fmt.Sprint(len(want)), ans.header.Get("Content-Length"))
				require.Equal(t, string(want), ans.body, "checkpoint %d as it was saved", i+1)
			}
			head := a.call("HEAD", at+"?data=true", a.dev.CustomerKey, nil)
			require.Equal(t, 200, head.status)
			require.Empty(t, head.body)
		}
		require.Len(t, a.adminEvents("event_type=workload.read"), 2, "that it was asked for, and that it was for bytes")
		require.Contains(t, fmt.Sprint(a.adminEvents("event_type=workload.read")), "getWorkloadCheckpoint?data=true")

		viewer := a.key("viewer")
		require.Equal(t, 200, a.call("GET", path+"/checkpoints/1", viewer, nil).status)
		require.Equal(t, 200, a.call("GET", path+"/checkpoints/1?data=false", viewer, nil).status)
		for _, yes := range []string{"true", "1", "t", "TRUE"} {
			ans := a.call("GET", path+"/checkpoints/1?data="+yes, viewer, nil)
			require.NotEqual(t, 200, ans.status, yes)
			require.NotContains(t, ans.body, "page")
		}
		a.refused(a.call("GET", path+"/checkpoints/1?data=true", viewer, nil), 403, "FORBIDDEN", "")

		rival := a.tenant("cust_rival", map[string]any{"rate_limit_per_sec": 1000.0, "burst": 1000})
		for _, what := range []string{"", "?data=true"} {
			foreign := a.call("GET", path+"/checkpoints/1"+what, rival, nil)
			a.refused(foreign, 404, "NOT_FOUND", "")
			missing := a.call("GET", "/v1/workloads/wl_"+strings.Repeat("0", 26)+"/checkpoints/1"+what, rival, nil)
			require.Equal(t, missing.field("error.message"), foreign.field("error.message"))
			for sequence, field := range map[string]string{
				"0": "sequence", "-1": "sequence", "9223372036854775808": "sequence", "1e3": "sequence", "x": "sequence",
				"%00": "sequence", "1%00": "sequence", "1.5": "sequence", "+1": "sequence",
			} {
				ans := a.call("GET", path+"/checkpoints/"+sequence+what, a.dev.CustomerKey, nil)
				if sequence == "+1" && ans.status == 200 {
					continue
				}
				a.refused(ans, 400, "INVALID_INPUT", field)
			}
			for _, sequence := range []string{"6", "9223372036854775807"} {
				a.refused(a.call("GET", path+"/checkpoints/"+sequence+what, a.dev.CustomerKey, nil), 404, "NOT_FOUND", "")
			}
		}
		a.refused(a.call("GET", path+"/checkpoints/1?data=maybe", a.dev.CustomerKey, nil), 400, "INVALID_INPUT", "data")
		a.refused(a.call("GET", path+"/checkpoints/1?data=true&data=false", a.dev.CustomerKey, nil), 400, "INVALID_INPUT",
			"data")
		a.refused(a.call("GET", path+"/checkpoints/1?data=true", a.dev.WorkerKey, nil), 403, "FORBIDDEN", "")
	})
}

// TestCheckpoint_ReadByManyAtOnce_HoldsABoundedNumber: a request for bytes takes the places of as many
// others as the bytes are large, until the client has taken them or is gone.
func TestCheckpoint_ReadByManyAtOnce_HoldsABoundedNumber(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) {
		c.MaxRequestsPerCustomer, c.WorkerLease = 20, time.Hour
	})
	path := a.saver(make([]byte, 8<<20)) + "/checkpoints/1?data=true"
	addr, err := net.ResolveTCPAddr("tcp", strings.TrimPrefix(a.dev.App.URL(), "http://"))
	require.NoError(t, err)
	conn, err := net.DialTCP("tcp", nil, addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetReadBuffer(4096))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, a.dev.CustomerKey)
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err, "it is being answered")
	refused := a.call("GET", path, a.dev.CustomerKey, nil)
	a.refused(refused, 503, "SERVICE_UNAVAILABLE", "")
	require.InDelta(t, 20, refused.field("error.details.limit"), 0)
	require.Equal(t, 200, a.call("GET", strings.TrimSuffix(path, "?data=true"), a.dev.CustomerKey, nil).status)
	require.Equal(t, 200, a.call("GET", path, a.dev.AdminKey, nil).status, "an administrator has other places")
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return a.call("GET", path, a.dev.CustomerKey, nil).status == 200 },
		30*time.Second, 10*time.Millisecond)
}
