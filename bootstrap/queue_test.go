package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// onPostgres starts a server with workers in this process, on a PostgreSQL of its own with fsync
// on.
func onPostgres(tb testing.TB, workers int, env ...string) (*Dev, *servers.Postgres) {
	tb.Helper()
	cfg, err := Load(append([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres"}, env...))
	require.NoError(tb, err)
	cluster, err := servers.StartPostgres(true, "max_wal_size=8GB", "shared_buffers=1GB")
	require.NoError(tb, err)
	tb.Cleanup(cluster.Remove)
	cfg.PostgresURL = cluster.SocketURL("postgres")
	d, err := newDevOn(context.Background(), cfg, workers, "test", silent,
		func(cfg Config, log *slog.Logger) (*App, error) {
			return NewCoordinator(context.Background(), cfg, log)
		})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, d.Close(context.Background())) })
	return d, cluster
}

// seedWaiting inserts the rows of n waiting workloads of a customer. They are of type sleep, with
// an affinity rule or none.
func seedWaiting(tb testing.TB, c *servers.Postgres, customer string, n, customers int, affinity string) {
	tb.Helper()
	rules := "NULL"
	if affinity != "" {
		rules = "'" + affinity + "'"
	}
	owner := fmt.Sprintf("'%s' || CASE WHEN %d > 1 THEN (g %% %d)::text ELSE '' END", customer, customers, customers)
	lane := owner + fmt.Sprintf(" || '/sleep%s@10'", map[bool]string{true: "#rules", false: ""}[affinity != ""])
	c.Exec(tb, "postgres",
		fmt.Sprintf(`INSERT INTO customers (customer_id, name, tier, max_queue, created_at, updated_at)
 SELECT '%s' || CASE WHEN %d > 1 THEN g::text ELSE '' END, 'C', 'enterprise', 10000000, now(), now()
    FROM generate_series(0, %d - 1) g ON CONFLICT DO NOTHING`, customer, customers, customers),
		fmt.Sprintf(`INSERT INTO queue_bounds (customer_id, bound) SELECT customer_id, %d FROM customers
    ON CONFLICT DO NOTHING`, n),
		fmt.Sprintf(`INSERT INTO lanes SELECT DISTINCT %s, %s, 'sleep', %s::jsonb, 10, now()
    FROM generate_series(0, %d - 1) g ON CONFLICT DO NOTHING`, lane, owner, rules, customers),
		fmt.Sprintf(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority,
  max_retries, timeout_us, created_at, queue_at, status, updated_at)
 SELECT 'wl_%s_' || lpad(g::text, 9, '0'), %s, %s, 'sleep', '', 10, 3, 3600000000,
  now() - interval '1 h', now() - interval '1 h' + g * interval '1 ms', 'PENDING', now()
 FROM generate_series(0, %d - 1) g`, customer, owner, lane, n),
		fmt.Sprintf(`INSERT INTO workload_specs SELECT workload_id, '{"duration_ms":3600000}', NULL, %s::jsonb,
    '', 1, 512, 1024, 300000000, NULL FROM workloads WHERE workload_id LIKE 'wl\_%s\_%%'`, rules, customer),
		fmt.Sprintf(`INSERT INTO waiting (lane_id, queue_at, workload_id, generation) SELECT lane_id, queue_at,
    workload_id, 0 FROM workloads WHERE workload_id LIKE 'wl\_%s\_%%'`, customer),
		fmt.Sprintf(`INSERT INTO count_totals SELECT customer_id, workload_type, count(*), 0, 0 FROM workloads
    WHERE workload_id LIKE 'wl\_%s\_%%' GROUP BY 1, 2`, customer),
		"ANALYZE")
}

// 100,000 workloads wait for a GPU that no worker has, and 10,000 wait because their customer is at
// its limit. A small workload of a third customer must run at once, without waiting for a poll.
// `make cycles` measures how soon exactly.
func TestQueue_WorkloadsThatCannotBePlaced_DoNotDelayOthers(t *testing.T) {
	d, c := onPostgres(t, 1, "NIYANTA_WORKER_SLOTS=50")
	took := blockedQueues(t, d, c, 5)
	t.Logf("behind 110,000 that cannot be placed, submitted to RUNNING: %v", took)
	// If it waited for its interval, each would take about as long: the next one begins when one was
	// placed.
	assert.Less(t, slices.Min(took), 900*time.Millisecond, "the scheduler must be woken, not wait for its interval")
}

// blockedQueues sets up these queues. It returns how long each of n small workloads took from
// submission to RUNNING.
func blockedQueues(tb testing.TB, d *Dev, c *servers.Postgres, n int) []time.Duration {
	tb.Helper()
	ctx := tb.Context()
	seedWaiting(tb, c, "cust_gpu", 100_000, 1, `{"hard": {"worker_tags": {"gpu": "a100"}}}`)
	c.Exec(tb, "postgres", `INSERT INTO customers (customer_id, name, tier, max_concurrent, max_queue, created_at,
  updated_at) VALUES ('cust_bound', 'C', 'enterprise', 2, 10000000, now(), now())`)
	seedWaiting(tb, c, "cust_bound", 10_000, 1, "")
	require.Eventually(tb, func() bool {
		u, err := d.App.coordinator.Statistics.Usage(ctx, "cust_bound")
		return err == nil && u.Running == 2
	}, 30*time.Second, 10*time.Millisecond, "the other customer runs as much as it may")
	p := domain.Principal{CustomerID: DevCustomer}
	var took []time.Duration
	watch := testfiles.StartStopwatch(tb)
	for range n {
		begun := watch.Took()
		w, err := d.App.coordinator.Lifecycle.Submit(ctx, p,
			lifecycle.SubmitRequest{Type: "sleep", Input: `{"duration_ms":1000}`})
		require.NoError(tb, err)
		for w.Status == domain.StatusPending || w.Status == domain.StatusScheduled {
			time.Sleep(time.Millisecond)
			w, err = d.App.coordinator.Lifecycle.Get(ctx, DevCustomer, w.ID)
			require.NoError(tb, err)
		}
		took = append(took, watch.Took()-begun)
	}
	return took
}
