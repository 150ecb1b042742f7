//go:build scale

package browser_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
)

const (
	// scaleFinished and scaleWaiting are how many workloads there are. Half of those that wait are
	// cancelled at the end.
	scaleFinished = 1_000_000
	scaleWaiting  = 100_000
	scaleBatch    = 1_000
)

// TestConsole_BesideAMillionWorkloads_DrawsEachPageAtOnce measures the console on PostgreSQL: how long
// the first page of each screen takes, how a list of 100,000 scrolls, a batch operation on 50,000, and
// what a tab keeps of 100,000 events. The figures are in figures.md among the screenshots.
func TestConsole_BesideAMillionWorkloads_DrawsEachPageAtOnce(t *testing.T) {
	needBrowser(t)
	binary := filepath.Join(t.TempDir(), "niyanta")
	build(t, binary, "../../cmd/niyanta")
	cluster, err := servers.StartPostgres(false, "max_wal_size=8GB", "shared_buffers=1GB")
	require.NoError(t, err)
	t.Cleanup(cluster.Remove)
	database := cluster.EmptyDatabase(t)
	f := newFleet(t, binary, "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL="+cluster.URL(database))

	limits := map[string]any{
		"max_concurrent_workloads": 50, "max_queue_depth": 200_000, "rate_limit_per_sec": 20_000, "burst": 20_000,
	}
	customer := f.call("/v1/admin/customers", f.adminKey, map[string]any{
		"name": "Scale", "tier": "premium", "limits": limits,
	})
	id := customer["customer_id"].(string)
	key := f.call("/v1/admin/customers/"+id+"/keys", f.adminKey, map[string]any{"role": "customer"})["key"].(string)
	seedFinished(t, cluster, database, id)
	for at := 0; at < scaleWaiting; at += scaleBatch {
		workloads := batch([]string{"train", "report"}[at/scaleBatch%2], "old")
		f.call("/v1/workloads/batch", key, map[string]any{"workloads": workloads})
	}
	cluster.Exec(t, database, "VACUUM ANALYZE")
	require.NoError(t, node(t, shotsOf(t, "scale"), map[string]any{
		"url": f.url, "admin_key": f.adminKey, "key": key, "customer_id": id, "waiting": scaleWaiting,
	}, "scale.mjs"))
}

// batch returns submissions of a type that no worker offers, with a label.
func batch(workloadType, label string) []map[string]any {
	out := make([]map[string]any, scaleBatch)
	for i := range out {
		out[i] = map[string]any{
			"workload_type": workloadType, "input_params": map[string]any{"i": i}, "labels": map[string]any{"batch": label},
		}
	}
	return out
}

// call posts to the API, and returns the answer.
func (f *fleet) call(path, key string, body any) map[string]any {
	f.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(f.t, err)
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.url+path, bytes.NewReader(encoded))
	require.NoError(f.t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(f.t, err)
	require.Less(f.t, resp.StatusCode, 300, "%s: %s", path, text)
	var out map[string]any
	require.NoError(f.t, json.Unmarshal(text, &out))
	return out
}

// seedFinished gives a customer workloads that finished over the last 5 days, every tenth as FAILED,
// with the counts that tell of them.
func seedFinished(t *testing.T, c *servers.Postgres, database, customer string) {
	t.Helper()
	const part = scaleFinished / 10
	for at := 0; at < scaleFinished; at += part {
		of := fmt.Sprintf("workload_id > 'wl_f%022d' AND workload_id <= 'wl_f%022d'", at, at+part)
		c.Exec(t, database,
			fmt.Sprintf(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority,
  max_retries, timeout_us, created_at, queue_at, status,
  generation, worker_id, scheduled_at, started_at, finished_at, updated_at)
 SELECT 'wl_f' || lpad(g::text, 22, '0'), '%s', '%[1]s/sleep@10', 'sleep', '', 10, 3, 3600000000, made, made,
  CASE WHEN g %% 10 = 1 THEN 'FAILED' ELSE 'COMPLETED' END, 1, '', made, made, made + interval '1 s',
  made + interval '1 s'
 FROM (SELECT g, now() - interval '5 days' * (1 - g / %d.0) - interval '1 minute' AS made
  FROM generate_series(%d, %d) g) s`,
				customer, scaleFinished, at+1, at+part),
			`INSERT INTO workload_specs (workload_id, input, config, cpu_cores, memory_mb, disk_mb, checkpoint_interval_us)
 SELECT workload_id, '{}', '', 0, 0, 0, 300000000 FROM workloads WHERE `+of,
			`INSERT INTO finished (customer_id, finished_at, workload_id, status, workload_type, created_at)
 SELECT customer_id, finished_at, workload_id, status, workload_type, created_at FROM workloads WHERE `+of)
	}
	of := "customer_id = '" + customer + "'"
	c.Exec(t, database,
		`INSERT INTO count_hours (customer_id, hour, workload_type, submitted, completed, failed, cancelled, executed_us)
 SELECT customer_id, date_trunc('hour', finished_at, 'UTC'), workload_type, count(*),
  count(*) FILTER (WHERE status = 'COMPLETED'), count(*) FILTER (WHERE status = 'FAILED'), 0, count(*) * 1000000
 FROM finished WHERE `+of+` GROUP BY 1, 2, 3`,
		`INSERT INTO count_minutes (customer_id, minute, started, queued, running, paused, submitted, completed, failed,
  cancelled)
 SELECT customer_id, date_trunc('minute', finished_at, 'UTC'), count(*), 0, 0, 0, count(*),
  count(*) FILTER (WHERE status = 'COMPLETED'), count(*) FILTER (WHERE status = 'FAILED'), 0
 FROM finished WHERE `+of+` AND finished_at > now() - interval '1 day' GROUP BY 1, 2`)
}
