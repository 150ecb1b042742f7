package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

// Planning takes longer than executing. So a statement is planned once for each connection.
func TestStore_WhenAStatementRepeats_PlansItOnce(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	store := open(t, c.SocketURL(c.Database(t)))
	b := &bench{T: t, sane: store.Stores()}
	_, err := b.sane.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	for n := range 5 {
		_, err := b.sane.Workloads.Submit(t.Context(), []domain.Submission{b.submission()})
		require.NoError(t, err)
		_, err = b.sane.Workloads.GetAny(t.Context(), domain.WorkloadID(fmt.Sprint("wl_", n)))
		require.NoError(t, err)
		_, err = b.sane.Queue.Heads(t.Context(), domain.HeadsQuery{N: 10})
		require.NoError(t, err)
	}
	custom, err := postgres.CustomPlans(t.Context(), store)
	require.NoError(t, err)
	require.Zero(t, custom)
}

// Batches lock their workloads in the order of the ids that they send, so that two never wait for each
// other. A plan that reads the rows in another order, or sorts them again, loses that.
func TestStore_WhenABatchLocksItsWorkloads_FollowsTheOrderOfTheIds(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	url := c.SocketURL(c.Database(t))
	store := open(t, url)
	require.NoError(t, postgres.ExecAll(url,
		`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority, max_retries,
  timeout_us, created_at, queue_at, status, updated_at)
 SELECT 'wl_' || n, 'c', 'c/1', 't', '', 0, 0, 0, now(), now(), 'PENDING', now() FROM generate_series(1, 20000) n`,
		`INSERT INTO workload_specs (workload_id, input, config, checkpoint_interval_us, cpu_cores, memory_mb, disk_mb)
  SELECT workload_id, '{}', '{}', 0, 0, 0, 0 FROM workloads`))
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			require.NoError(t, postgres.ExecAll(url, "ANALYZE"))
		}
		for name, statement := range map[string]string{
			"workloads": postgres.LockWorkloads, "assigned": postgres.LockAssigned,
		} {
			plan, err := postgres.Plan(t.Context(), store, statement, "'{wl_1,wl_2}'")
			require.NoError(t, err)
			text := strings.Join(plan, "\n")
			for _, node := range []string{"Sort", "Hash", "Merge", "Seq Scan", "Bitmap"} {
				require.NotContains(t, text, node, "%s, analyzed %v", name, analyzed)
			}
			require.Less(t, strings.Index(text, "ProjectSet"), strings.Index(text, "workloads_pkey"),
				"the ids are the outer side:\n%s", text)
		}
	}
}
