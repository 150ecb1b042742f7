//go:build explain

package postgres_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// TestHotStatements_OnAFullTable runs every hot operation beside many finished workloads and
// beside a tenth of them, with a tenth as many waiting. The server explains what it did. The test fails on a
// sequential scan of a table that grows, and prints how long the operations took. It takes
// minutes: `make explain`.
func TestHotStatements_OnAFullTable(t *testing.T) {
	c, err := servers.StartPostgres(true, "shared_preload_libraries=auto_explain", "auto_explain.log_analyze=on",
		"auto_explain.log_buffers=on",
		"max_wal_size=8GB", "shared_buffers=2GB")
	require.NoError(t, err)
	t.Cleanup(c.Remove)
	_, err = postgres.MigrateUp(t.Context(), c.SocketURL("postgres"), silent)
	require.NoError(t, err)
	s := open(t, c.SocketURL("postgres")).Stores()
	b := &bench{T: t, faulty: s, sane: s}
	seedTenants(b)
	seedWaiting(t, c, max(*explainRows/10, 10_000))
	seedWide(t, c)
	times := map[string][2]time.Duration{}
	finished := 0
	for round, n := range []int{*explainRows / 10, *explainRows} {
		seedFinished(t, c, finished, n)
		finished = n
		c.Exec(t, "postgres", "VACUUM ANALYZE", "ALTER SYSTEM SET auto_explain.log_min_duration = 0",
			"SELECT pg_reload_conf()")
		time.Sleep(time.Second) // for the sessions to hear of it
		for range 3 {
			for name, took := range operations(b) {
				v := times[name]
				v[round] = took
				times[name] = v
			}
		}
		c.Exec(t, "postgres", "ALTER SYSTEM SET auto_explain.log_min_duration = -1", "SELECT pg_reload_conf()")
	}
	report(t, c.Log(), times)
}

func seedTenants(b *bench) {
	_, err := b.sane.Customers.Create(b.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierEnterprise,
		Overrides: domain.Limits{MaxConcurrent: 1_000_000, MaxQueueDepth: 10_000_000}}, domain.Admin{KeyID: "key_admin"})
	require.NoError(b, err)
	l, _, err := b.sane.Leader.Acquire(b.Context(), "leader", time.Hour)
	require.NoError(b, err)
	b.epoch = l.Epoch
	for n := range 500 {
		b.worker, err = b.sane.Workers.Register(b.Context(), domain.Registration{
			WorkerID: domain.WorkerID(fmt.Sprint("w", n)), SessionID: domain.SessionID(fmt.Sprint("s", n)),
			Capabilities: []string{"t"}, Slots: 100,
		}, time.Hour)
		require.NoError(b, err)
	}
}

// seedWaiting makes 1,000 customers with one lane each, and spreads n waiting workloads over
// them.
func seedWaiting(t *testing.T, c *servers.Postgres, n int) {
	c.Exec(t, "postgres",
		`INSERT INTO customers (customer_id, name, tier, created_at, updated_at)
  SELECT 'cust_' || g, 'C', 'enterprise', now(), now() FROM generate_series(1, 1000) g`,
		`INSERT INTO queue_bounds (customer_id) SELECT 'cust_' || g FROM generate_series(1, 1000) g`,
		`INSERT INTO lanes SELECT 'cust_' || g || '/t@10', 'cust_' || g, 't', NULL, 10, now()
    FROM generate_series(1, 1000) g`,
		fmt.Sprintf(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority,
  max_retries, timeout_us, created_at, queue_at, status, updated_at)
 SELECT 'wl_q' || lpad(g::text, 9, '0'), 'cust_' || (1 + g %% 1000),
  'cust_' || (1 + g %% 1000) || '/t@10', 't', '', 10, 3, 3600000000, now(),
  now() - g * interval '1 ms', 'PENDING', now()
 FROM generate_series(1, %d) g`, n),
		`INSERT INTO workload_specs SELECT workload_id, '{}', NULL, NULL, '', 1, 512, 1024, 300000000, NULL
    FROM workloads WHERE status = 'PENDING'`,
		`INSERT INTO waiting SELECT lane_id, queue_at, workload_id, 0 FROM workloads WHERE status = 'PENDING'`,
		`INSERT INTO count_totals SELECT customer_id, workload_type, count(*), 0, 0 FROM workloads GROUP BY 1, 2`)
}

// seedWide makes a customer with 1,000 lanes, more than a cycle considers, with one workload
// waiting in each.
func seedWide(t *testing.T, c *servers.Postgres) {
	c.Exec(t, "postgres",
		`INSERT INTO customers (customer_id, name, tier, created_at, updated_at)
  VALUES ('cust_wide', 'W', 'enterprise', now(), now())`,
		`INSERT INTO queue_bounds (customer_id) VALUES ('cust_wide')`,
		`INSERT INTO lanes SELECT 'cust_wide/t' || g || '@10', 'cust_wide', 't' || g, NULL, 10, now()
    FROM generate_series(1, 1000) g`,
		`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority,
  max_retries, timeout_us, created_at, queue_at, status, updated_at)
 SELECT 'wl_w' || lpad(g::text, 9, '0'), 'cust_wide', 'cust_wide/t' || g || '@10', 't' || g, '', 10, 3,
  3600000000, now(), now() - g * interval '1 ms', 'PENDING', now()
 FROM generate_series(1, 1000) g`,
		`INSERT INTO workload_specs (workload_id, input, config, cpu_cores, memory_mb, disk_mb, checkpoint_interval_us)
 SELECT workload_id, '{}', '', 1, 512, 1024, 300000000 FROM workloads WHERE customer_id = 'cust_wide'`,
		`INSERT INTO waiting SELECT lane_id, queue_at, workload_id, 0 FROM workloads WHERE customer_id = 'cust_wide'`,
		`INSERT INTO count_totals SELECT customer_id, workload_type, 1, 0, 0 FROM workloads WHERE customer_id = 'cust_wide'`)
}

// lanesRead is how many lanes Heads reads: one of each customer, and of the wide one as many as a
// cycle considers.
const lanesRead = 1_000 + 1 + domain.LanesOfCustomer

func seedFinished(t *testing.T, c *servers.Postgres, from, to int) {
	c.Exec(t, "postgres",
		fmt.Sprintf(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority,
  max_retries, timeout_us, created_at, queue_at, status, generation, scheduled_at, started_at, finished_at, updated_at)
 SELECT 'wl_f' || lpad(g::text, 9, '0'), CASE WHEN g %% 10 = 0 THEN 'cust_acme'
    ELSE 'cust_' || (1 + g %% 1000) END, 'cust_' || (1 + g %% 1000) || '/t@10', 't', '', 10, 3, 3600000000,
 now() - g * interval '1 s', now() - g * interval '1 s', 'COMPLETED', 1, now(), now(), now(), now()
    FROM generate_series(%d, %d) g`, from+1, to),
		// As many hours as there are, so that the reads have to sum up a row for each.
		fmt.Sprintf(`INSERT INTO count_hours AS h (customer_id, hour, workload_type,
  submitted, completed, failed, cancelled, executed_us)
 SELECT customer_id, date_trunc('hour', created_at, 'UTC'), workload_type, count(*), count(*), 0, 0, 0 FROM workloads
 WHERE workload_id > 'wl_f%09d' AND workload_id <= 'wl_f%09d' GROUP BY 1, 2, 3
 ON CONFLICT (customer_id, hour, workload_type) DO UPDATE
    SET submitted = h.submitted + excluded.submitted, completed = h.completed + excluded.completed`, from, to),
		fmt.Sprintf(`INSERT INTO count_minutes AS m (customer_id, minute, started, queued, running, paused,
  submitted, completed, failed, cancelled)
 SELECT customer_id, date_trunc('minute', created_at, 'UTC'), count(*), 0, 0, 0, count(*), count(*), 0, 0 FROM workloads
 WHERE workload_id > 'wl_f%09d' AND workload_id <= 'wl_f%09d' AND created_at > now() - interval '1 day' GROUP BY 1, 2
 ON CONFLICT (customer_id, minute) DO UPDATE SET completed = m.completed + excluded.completed`, from, to),
		fmt.Sprintf(`INSERT INTO workload_specs
    SELECT workload_id, '{}', NULL, NULL, '', 1, 512, 1024, 300000000, NULL FROM workloads
 WHERE workload_id > 'wl_f%09d' AND workload_id <= 'wl_f%09d'`, from, to),
		fmt.Sprintf(`INSERT INTO audit (at, workload_id, customer_id, type, actor_kind, actor_id, from_status,
  to_status, generation, worker_id, checkpoint_sequence, reason)
 SELECT now(), 'wl_f' || lpad(g::text, 9, '0'), 'cust_acme', e, 'worker', 'w', '', '', 1, 'w', 0, ''
    FROM generate_series(%d, %d) g,
 unnest(ARRAY['workload.created','workload.scheduled','workload.started','workload.completed']) e`, from+1, to))
}

// operations runs each hot operation and measures it.
func operations(b *bench) map[string]time.Duration {
	took := map[string]time.Duration{}
	ctx := b.Context()
	timed := func(name string, f func() error) {
		begin := time.Now()
		require.NoError(b, f(), name)
		took[name] = time.Since(begin)
	}
	subs := make([]domain.Submission, 100)
	for i := range subs {
		subs[i] = b.submission()
		subs[i].ID = domain.WorkloadID(fmt.Sprintf("wl_x%d_%d", time.Now().UnixNano(), i))
	}
	timed("Submit, 100", func() error { _, err := b.sane.Workloads.Submit(ctx, subs); return err })
	var heads domain.QueueHeads
	timed("Heads, 8 of each of 1,201 lanes", func() (err error) {
		heads, err = b.sane.Queue.Heads(ctx, domain.HeadsQuery{N: 8})
		return err
	})
	if n := len(heads.Lanes); n != lanesRead {
		b.Fatalf("the heads of %d lanes were read, not of %d", n, lanesRead)
	}
	timed("NextDue", func() error { _, _, err := b.sane.Queue.NextDue(ctx); return err })
	var ts []domain.Transition
	for _, h := range heads.Lanes {
		if len(ts) < 100 {
			c := h.Heads[0]
			ts = append(ts, domain.Transition{WorkloadID: c.ID, Event: domain.EventAssign,
				Generation: c.Generation + 1, WorkerID: b.worker.ID, SessionID: b.worker.SessionID})
		}
	}
	apply := func(e domain.Event) func() error {
		return func() error {
			for i := range ts {
				ts[i].Event = e
			}
			rs, err := b.sane.Workloads.Apply(ctx, domain.Batch{Epoch: b.epoch, Transitions: ts})
			for _, r := range rs {
				require.Equal(b, domain.OutcomeApplied, r.Outcome, r.Reason)
			}
			return err
		}
	}
	timed("Apply assign, 100", apply(domain.EventAssign))
	timed("Occupancy", func() error { _, err := b.sane.Queue.Occupancy(ctx); return err })
	timed("Fleet", func() error { _, err := b.sane.Workers.Fleet(ctx); return err })
	timed("Held", func() error { _, err := b.sane.Queue.Held(ctx, b.worker.SessionID); return err })
	timed("Unstarted", func() error { _, err := b.sane.Queue.Unstarted(ctx, time.Minute, "", 100); return err })
	timed("Overdue", func() error { _, err := b.sane.Queue.Overdue(ctx, time.Minute, "", 100); return err })
	timed("Orphans", func() error { _, err := b.sane.Queue.Orphans(ctx, "", 100); return err })
	timed("Apply start, 100", apply(domain.EventStart))
	timed("Apply complete, 100", apply(domain.EventComplete))
	timed("Get, 100", func() error {
		ids := make([]domain.WorkloadID, len(ts))
		for i := range ts {
			ids[i] = ts[i].WorkloadID
		}
		_, err := b.sane.Workloads.GetAny(ctx, ids...)
		return err
	})
	timed("Usage", func() error { _, err := b.sane.Statistics.Usage(ctx, acme); return err })
	depth := func(whose domain.Whose) func() error {
		return func() error { _, err := b.sane.Statistics.Depth(ctx, whose); return err }
	}
	timed("Depth of a customer", depth(domain.Whose{Customer: acme}))
	timed("Depth of all, 1,201 lanes", depth(domain.Whose{Everyone: true}))
	for name, whose := range map[string]domain.Whose{"a customer": {Customer: acme}, "all": {Everyone: true}} {
		timed("Series of the last hour of "+name, func() error {
			_, err := b.sane.Statistics.Recent(ctx, whose, time.Now().Add(-time.Hour))
			return err
		})
	}
	today := domain.DayOf(time.Now())
	for _, by := range []domain.Grouping{domain.GroupByDay, domain.GroupByType, domain.GroupByHour} {
		timed("Statistics of a month, by "+string(by), func() error {
			_, err := b.sane.Statistics.Statistics(ctx, domain.StatisticsQuery{
				Whose: domain.Whose{Customer: acme}, From: today.AddDate(0, 0, -30),
				Until: today.AddDate(0, 0, 1), GroupBy: by,
			})
			return err
		})
	}
	timed("Fold", func() error { _, err := b.sane.Statistics.Fold(ctx, 5000); return err })
	timed("List, newest 50", func() error {
		_, err := b.sane.Workloads.List(ctx, ports.WorkloadQuery{Customer: acme, Limit: 50})
		return err
	})
	timed("List, RUNNING", func() error {
		_, err := b.sane.Workloads.List(ctx, ports.WorkloadQuery{Customer: acme, Limit: 50,
			Statuses: []domain.Status{domain.StatusRunning}})
		return err
	})
	timed("Audit of a workload", func() error {
		_, err := b.sane.Audit.Workload(ctx, acme, "wl_f000050000", 0, 100)
		return err
	})
	beats := make([]ports.Beat, 500)
	for i := range beats {
		beats[i] = ports.Beat{WorkerID: domain.WorkerID(fmt.Sprint("w", i)), SessionID: domain.SessionID(fmt.Sprint("s", i))}
	}
	timed("Heartbeat, 500", func() error { _, err := b.sane.Workers.Heartbeat(ctx, beats, time.Hour); return err })
	timed("Expire", func() error { _, err := b.sane.Workers.Expire(ctx, b.epoch, 100); return err })
	timed("Renew leader lease", func() error { return b.sane.Leader.Renew(ctx, "leader", b.epoch, time.Hour) })
	return took
}

var (
	entry = regexp.MustCompile(`(?s)duration: ([0-9.]+) ms  plan:\n\tQuery Text: (.*?)\n\t((?:Insert|Update|Delete|` +
		`LockRows|Limit|Sort|Index|Nested|Result|Aggregate|GroupAggregate|HashAggregate|Unique|Subquery|CTE|Bitmap|` +
		`Append|Seq|Function|Materialize|Memoize|WindowAgg|Merge|Incremental|Recursive|Hash|ProjectSet|Group).*?)` +
		`(?:\n[0-9]{4}-|\z)`)
	spaces  = regexp.MustCompile(`\s+`)
	growing = []string{"workloads", "workload_specs", "workload_results", "waiting", "delayed", "audit",
		"idempotency_keys", "workload_logs", "checkpoints",
		"count_hours", "count_minutes"}
)

// report checks the plans and prints figures: per operation, and the slowest plan of each
// statement.
func report(t *testing.T, log string, times map[string][2]time.Duration) {
	slowest := map[string]string{}
	n := 0
	for _, m := range entry.FindAllStringSubmatch(log+"\n2026-", -1) {
		n++
		sql := spaces.ReplaceAllString(m[2], " ")
		if strings.Contains(sql, "generate_series") || strings.Contains(sql, "VACUUM") {
			continue
		}
		for _, table := range growing {
			require.NotRegexp(t, `Seq Scan on `+table+`\b`, m[3], sql)
		}
		slowest[sql] = fmt.Sprintf("%s ms\n%s", m[1], m[3])
	}
	require.Positive(t, n, "the server explained nothing")
	names := make([]string, 0, len(times))
	for name := range times {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stdout, "| operation | %d finished | %d finished |\n|---|---|---|\n",
		*explainRows/10, *explainRows)
	for _, name := range names {
		fmt.Fprintf(os.Stdout, "| %s | %.2f ms | %.2f ms |\n", name, ms(times[name][0]), ms(times[name][1]))
	}
	if path := os.Getenv("EXPLAIN_OUT"); path != "" {
		var out strings.Builder
		keys := make([]string, 0, len(slowest))
		for sql := range slowest {
			keys = append(keys, sql)
		}
		slices.Sort(keys)
		for _, sql := range keys {
			fmt.Fprintf(&out, "%s\n%s\n\n", sql, slowest[sql])
		}
		require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
