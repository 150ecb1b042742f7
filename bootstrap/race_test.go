package bootstrap

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// racers is the number of requests that a test sends at once.
const racers = 64

// race submits the same workload racers times at once and returns the answers.
func (a *api) race(key string, header http.Header) []answer {
	a.Helper()
	body, err := json.Marshal(later(1)[0])
	require.NoError(a, err)
	out := make([]answer, racers)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(racers)
	for i := range out {
		req := a.request("POST", "/v1/workloads", key, string(body))
		for name, values := range header {
			req.Header[name] = values
		}
		done.Go(func() {
			ready.Done()
			<-start
			resp, err := a.client.Do(req)
			if err != nil {
				a.Error(err)
				return
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				a.Error(err)
			}
			_ = resp.Body.Close()
			out[i] = answer{resp.StatusCode, resp.Header, string(b)}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return out
}

func TestSubmit_64IdenticalRequestsWithOneKey_MakeOneWorkload(t *testing.T) {
	onEachStore(t, func(a *api) {
		ids := map[any]int{}
		for _, ans := range a.race(a.dev.CustomerKey, http.Header{"Idempotency-Key": {"the same"}}) {
			require.Equal(a, http.StatusAccepted, ans.status, ans.body)
			ids[ans.field("workload_id")]++
		}
		require.Len(a, ids, 1, "every answer names the same workload: %v", ids)
		list := a.call("GET", "/v1/workloads", a.dev.CustomerKey, nil)
		require.Len(a, list.field("workloads"), 1, list.body)
	})
}

func TestSubmit_64AtLimitMinusOne_AdmitOne(t *testing.T) {
	onEachStore(t, func(a *api) {
		const limit = 5
		key := a.tenant("cust_racer", map[string]any{
			"max_queue_depth": limit, "burst": 1000, "rate_limit_per_sec": 1000.0,
		})
		for range limit - 1 {
			require.Equal(a, http.StatusAccepted, a.call("POST", "/v1/workloads", key, later(1)[0]).status)
		}
		admitted := 0
		for _, ans := range a.race(key, nil) {
			if ans.status == http.StatusAccepted {
				admitted++
				continue
			}
			a.refused(ans, http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "")
		}
		require.Equal(a, 1, admitted)
		usage := a.call("GET", "/v1/customer", key, nil)
		require.InDelta(a, limit, usage.field("usage.current_queue_depth"), 0, usage.body)
	})
}
