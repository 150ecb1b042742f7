package postgres_test

import (
	"fmt"
	"testing"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// seedLists gives a customer n waiting and n finished workloads, by turns, over the last 20 hours.
// The oldest is of the type once. Every tenth of the finished ones failed, and another tenth is of
// the type v. All have a label, the oldest 5 a rare one, every 500th another one.
func seedLists(t *testing.T, c *servers.Postgres, database, customer string, n int) {
	t.Helper()
	exec := func(sql string, more ...any) {
		c.Exec(t, database, fmt.Sprintf(sql, append([]any{customer}, more...)...))
	}
	exec(`INSERT INTO customers (customer_id, name, tier, created_at, updated_at)
 VALUES ('%[1]s', 'L', 'enterprise', now(), now())`)
	exec("INSERT INTO queue_bounds (customer_id) VALUES ('%[1]s')")
	exec("INSERT INTO lanes SELECT '%[1]s/t@10', '%[1]s', 't', NULL, 10, now()")
	exec(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority, max_retries,
  timeout_us, created_at, queue_at, status, generation, finished_at, updated_at)
 SELECT 'wl_%[1]s_' || lpad(g::text, 9, '0'), '%[1]s', '%[1]s/t@10',
  CASE WHEN g = 1 THEN 'once' WHEN g %% 20 = 7 THEN 'v' ELSE 't' END, '', g / 2 %% 100, 3, 3600000000, made, made,
  CASE WHEN NOT final THEN 'PENDING' WHEN g %% 20 = 1 THEN 'FAILED' ELSE 'COMPLETED' END,
  CASE WHEN final THEN 1 ELSE 0 END, CASE WHEN final THEN made + interval '1 s' END,
  CASE WHEN final THEN made + interval '1 s' ELSE made END
 FROM (SELECT g, g %% 2 = 1 AS final, now() - interval '20 h' * (1 - g / (2.0 * %[2]d)) - interval '2 s' AS made
  FROM generate_series(1, 2 * %[2]d) g) s`, n)
	exec(`INSERT INTO workload_specs (workload_id, input, labels, label_terms, config, cpu_cores, memory_mb, disk_mb,
  checkpoint_interval_us)
 SELECT workload_id, '{}', labels, (
   SELECT array_agg(('x' || encode(substr(sha256(convert_to('%[1]s' || chr(31) || l.key || chr(31) || l.value, 'UTF8')),
     1, 8), 'hex'))::bit(64)::bigint) FROM jsonb_each_text(s.labels) l), '', 1, 512, 1024, 300000000
 FROM (SELECT workload_id, jsonb_strip_nulls(jsonb_build_object('env', 'prod', 'rare', CASE WHEN g <= 5 THEN 'yes' END,
   'some', CASE WHEN g %% 500 = 0 THEN 'yes' END)) AS labels
  FROM (SELECT *, right(workload_id, 9)::int AS g FROM workloads WHERE customer_id = '%[1]s') w) s`)
	exec(`INSERT INTO finished SELECT customer_id, finished_at, workload_id, status, workload_type, created_at
 FROM workloads WHERE customer_id = '%[1]s' AND finished_at IS NOT NULL`)
	exec(`INSERT INTO waiting SELECT lane_id, queue_at, workload_id, 0 FROM workloads
 WHERE customer_id = '%[1]s' AND finished_at IS NULL`)
	exec(`INSERT INTO count_hours SELECT customer_id, date_trunc('hour', created_at, 'UTC'), workload_type, count(*),
  count(*) FILTER (WHERE status = 'COMPLETED'), count(*) FILTER (WHERE status = 'FAILED'), 0, 0
 FROM workloads WHERE customer_id = '%[1]s' GROUP BY 1, 2, 3`)
}

// seedRunning lets the n oldest waiting workloads of a customer run.
func seedRunning(t *testing.T, c *servers.Postgres, database, customer string, n int) {
	t.Helper()
	c.Exec(t, database, fmt.Sprintf(`WITH r AS (UPDATE workloads SET status = 'RUNNING', session_id = 's', worker_id = 'w',
   generation = 1, scheduled_at = now(), updated_at = now()
  WHERE workload_id IN (SELECT workload_id FROM workloads WHERE customer_id = '%[1]s' AND status = 'PENDING'
   ORDER BY created_at LIMIT %[2]d) RETURNING *),
 h AS (INSERT INTO held (workload_id, session_id, worker_id, customer_id, lane_id, generation, running,
   pause_requested, scheduled_at)
  SELECT workload_id, 's', 'w', customer_id, lane_id, 1, true, false, now() FROM r)
 DELETE FROM waiting q USING r
 WHERE q.lane_id = r.lane_id AND q.queue_at = r.queue_at AND q.workload_id = r.workload_id`,
		customer, n))
}
