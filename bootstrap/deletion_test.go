package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// gone waits until the customer is 404.
func (a *api) gone(customer string) {
	a.Helper()
	require.Eventually(a, func() bool {
		return a.call("GET", "/v1/admin/customers/"+customer, a.dev.AdminKey, nil).status == http.StatusNotFound
	}, 60*time.Second, 50*time.Millisecond)
}

func TestDeleteCustomer_WithUnfinishedWork_IsRefusedUnlessForced(t *testing.T) {
	onEachStore(t, func(a *api) {
		key := a.tenant("cust_doomed", map[string]any{"burst": 1000})
		const path = "/v1/admin/customers/cust_doomed"
		id := a.call("POST", "/v1/workloads", key, sleepBody(1)).field("workload_id").(string)
		refused := a.call("DELETE", path, a.dev.AdminKey, nil)
		a.refused(refused, 409, "CONFLICT", "")
		require.InDelta(a, 1, refused.field("error.details.unfinished"), 0)
		require.Equal(a, 200, a.call("GET", "/v1/workloads/"+id, key, nil).status)
		require.NotContains(a, a.call("GET", path, a.dev.AdminKey, nil).body, `"deleting"`)
		for _, bad := range []string{"?force=yes", "?force=true&force=true", "?forced=true"} {
			require.Equal(a, 400, a.call("DELETE", path+bad, a.dev.AdminKey, nil).status, bad)
		}
		ans := a.call("DELETE", path+"?force=true", a.dev.AdminKey, nil)
		require.Equal(a, 202, ans.status, ans.body)
		require.NotEmpty(a, ans.field("deleting.since"))
		a.refused(a.call("POST", "/v1/workloads", key, sleepBody(1)), 401, "UNAUTHORIZED", "")
		a.gone("cust_doomed")
		for _, part := range []string{"", "/audit", "/logs"} {
			a.refused(a.call("GET", "/v1/workloads/"+id+part, a.dev.AdminKey, nil), 404, "NOT_FOUND", "")
		}
		a.refused(a.call("DELETE", path, a.dev.AdminKey, nil), 404, "NOT_FOUND", "")
		a.refused(a.call("POST", "/v1/admin/customers", a.dev.AdminKey,
			map[string]any{"customer_id": "cust_doomed", "name": "D", "tier": "free"}), 409, "CONFLICT", "")
		a.refused(a.call("POST", path+"/keys", a.dev.AdminKey, map[string]any{"role": "viewer"}), 404, "NOT_FOUND", "")
		trail := a.adminEvents("customer_id=cust_doomed")
		require.Equal(a, "customer.erased", trail[0]["event_type"])
		require.Equal(a, "customer.deleted", trail[1]["event_type"])
		require.Equal(a, "admin", trail[1]["actor_id"])
	})
}

// TestDeleteCustomer_AtAnotherCoordinator_EndsStreamsAndWaitsWithin5s deletes a customer at one of two
// coordinators, while its clients use the other one.
func TestDeleteCustomer_AtAnotherCoordinator_EndsStreamsAndWaitsWithin5s(t *testing.T) {
	a, url := newPostgresAPI(t, 0)
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + url})
	require.NoError(t, err)
	cfg.AdminKey = testAdminKey
	other, err := NewCoordinator(t.Context(), cfg, silent)
	require.NoError(t, err)
	require.NoError(t, other.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, other.Close(context.Background())) })

	key := a.tenant("cust_doomed", map[string]any{"burst": 1000})
	waits := later(1)[0]
	id := a.call("POST", "/v1/workloads", key, waits).field("workload_id").(string)
	one, all := a.streams("/v1/workloads/"+id+"/events", key, ""), a.streams("/v1/events", key, "")
	one.read(1)
	polled := make(chan answer, 1)
	go func() { polled <- a.do(a.request("GET", "/v1/workloads/"+id+"?wait=50s", key, nil)) }()
	time.Sleep(200 * time.Millisecond) // most likely it waits by then; if not, it is refused all the more

	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
		other.URL()+"/v1/admin/customers/cust_doomed?force=true", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+testAdminKey)
	require.Equal(t, 202, a.do(req).status)
	watch := testfiles.StartStopwatch(t)
	// They may tell of the cancel before they end.
	late := time.AfterFunc(time.Minute, func() { _ = one.resp.Body.Close(); _ = all.resp.Body.Close() })
	one.rest()
	all.rest()
	require.True(t, late.Stop(), "the streams go on")
	select {
	case <-polled: // with the end of the workload, or refused, as the coordinator learns first
	case <-time.After(time.Minute):
		require.Fail(t, "the long poll goes on")
	}
	require.Less(t, watch.Took(), 5*time.Second)
	a.refused(a.call("GET", "/v1/workloads/"+id, key, nil), 401, "UNAUTHORIZED", "")
	a.gone("cust_doomed")
}

// TestDeleteCustomer_WhileItSubmits_LeavesNothingAndNobodyElseNotices has eight clients of a customer
// submit, in batches and one by one, while it is deleted and a worker runs some of it.
func TestDeleteCustomer_WhileItSubmits_LeavesNothingAndNobodyElseNotices(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *api{
		StoreMemory:   func(t *testing.T) *api { t.Helper(); return newAPI(t, 2) },
		StorePostgres: func(t *testing.T) *api { t.Helper(); a, _ := newPostgresAPI(t, 2); return a },
	} {
		t.Run(name, func(t *testing.T) { attackDeletion(t, start(t)) })
	}
}

// newPostgresAPI returns a development server on PostgreSQL, and the address of its database.
func newPostgresAPI(t *testing.T, workers int) (a *api, url string) {
	t.Helper()
	c := servers.SharedPostgres(t, preparePostgres)
	db := c.Database(t)
	t.Cleanup(func() { c.Drop(t, db) })
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres", "NIYANTA_WORKER_SLOTS=50"})
	require.NoError(t, err)
	cfg.PostgresURL = c.SocketURL(db)
	d, err := newDevOn(context.Background(), cfg, workers, "test", silent,
		func(cfg Config, log *slog.Logger) (*App, error) {
			return NewCoordinator(context.Background(), cfg, log)
		})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Close(context.Background())) })
	return newAPIOf(t, d), cfg.PostgresURL
}

func attackDeletion(t *testing.T, a *api) {
	t.Helper()
	key := a.tenant("cust_doomed", map[string]any{
		"burst": 100_000, "rate_limit_per_sec": 100_000, "max_queue_depth": 100_000, "max_concurrent_workloads": 8,
	})
	var kept []string
	for range 30 {
		kept = append(kept, a.submit(sleepBody(100)))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var ids []string // of the customer that is deleted
	stop := make(chan struct{})
	for n := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				body := sleepBody([]int{1, 200, 60_000}[i%3])
				if i%4 == 3 {
					body["run_at"] = time.Now().Add(time.Hour)
				}
				req := a.request("POST", "/v1/workloads", key, body)
				req.Header.Set("Idempotency-Key", fmt.Sprint("key ", n, i))
				ans, err := a.read(req)
				if err != nil {
					continue
				}
				if ans.status == http.StatusAccepted {
					mu.Lock()
					ids = append(ids, ans.field("workload_id").(string))
					mu.Unlock()
				}
			}
		})
	}
	const path = "/v1/admin/customers/cust_doomed"
	require.Eventually(t, func() bool {
		ans := a.call("GET", path, a.dev.AdminKey, nil)
		return ans.field("usage.current_running_workloads").(float64) >= 4 &&
			ans.field("usage.current_queue_depth").(float64) >= 20
	}, 30*time.Second, 10*time.Millisecond)
	ans := a.call("DELETE", path+"?force=true", a.dev.AdminKey, nil)
	require.Equal(t, 202, ans.status, ans.body)
	a.gone("cust_doomed") // its clients are still trying
	time.Sleep(100 * time.Millisecond)
	close(stop)
	wg.Wait()

	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(ids), 20)
	for _, id := range ids {
		a.refused(a.call("GET", "/v1/workloads/"+id, a.dev.AdminKey, nil), 404, "NOT_FOUND", "")
	}
	list := a.call("GET", "/v1/admin/workloads?customer_id=cust_doomed", a.dev.AdminKey, nil)
	a.refused(list, 404, "NOT_FOUND", "")
	for _, id := range kept {
		a.until("/v1/workloads/"+id, "status", "COMPLETED")
	}
	require.Eventually(t, func() bool { // a run that ends has its slot until its worker has told
		return !slices.ContainsFunc(a.collection("/v1/admin/workers", a.dev.AdminKey, "workers"), func(w any) bool {
			return w.(map[string]any)["capacity_used"] != 0.0
		})
	}, 30*time.Second, 20*time.Millisecond, "no slot is kept by what is gone")
	depth := a.call("GET", "/v1/metrics/queue-depth", a.dev.AdminKey, nil)
	require.InDelta(t, 0, depth.field("queue_depth"), 0, depth.body)
}
