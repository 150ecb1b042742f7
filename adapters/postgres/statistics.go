package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

type statistics struct{ s *Store }

var (
	deltaTable = table[domain.Delta]{"count_deltas", []column[domain.Delta]{
		text("customer_id", func(d *domain.Delta) *domain.CustomerID { return &d.CustomerID }),
		text("workload_type", func(d *domain.Delta) *string { return &d.Type }),
		instant("minute", func(d *domain.Delta) *time.Time { return &d.Minute }),
		integer("started", func(d *domain.Delta) *int { return &d.Started }),
		integer("queued", func(d *domain.Delta) *int { return &d.Queued }),
		integer("running", func(d *domain.Delta) *int { return &d.Running }),
		integer("paused", func(d *domain.Delta) *int { return &d.Paused }),
		integer("submitted", func(d *domain.Delta) *int { return &d.Submitted }),
		integer("completed", func(d *domain.Delta) *int { return &d.Completed }),
		integer("failed", func(d *domain.Delta) *int { return &d.Failed }),
		integer("cancelled", func(d *domain.Delta) *int { return &d.Cancelled }),
		micros("executed_us", func(d *domain.Delta) *time.Duration { return &d.Executed }),
		bigint("cpu_ms", func(d *domain.Delta) *int64 { return &d.Used.CPUMS }),
		bigint("peak_memory_mb", func(d *domain.Delta) *int64 { return &d.Used.PeakMemoryMB }),
	}}
	insertDeltas = deltaTable.insert()
)

// queueDeltas queues the changes of the counts.
func (t *tx) queueDeltas(ds domain.Deltas) { writeRows(t, &deltaTable, insertDeltas, ds.Changed()) }

// usedSQL returns the statement that sums up what is unfinished, and what was submitted today. counted
// selects the rows of the counts.
func usedSQL(columns, counted string) string {
	return `WITH today AS (SELECT date_trunc('day', niyanta_now(), 'UTC') AS began)
 SELECT ` + columns + `coalesce(sum(queued), 0)::bigint, coalesce(sum(running), 0)::bigint,
    coalesce(sum(paused), 0)::bigint, coalesce(sum(submitted), 0)::bigint FROM (
  SELECT customer_id, queued, running, paused, 0 AS submitted FROM count_totals WHERE ` + counted + `
  UNION ALL SELECT customer_id, 0, 0, 0, submitted FROM count_hours WHERE ` + counted + ` AND hour >= (SELECT began
    FROM today)
  UNION ALL SELECT customer_id, queued, running, paused,
    CASE WHEN minute >= (SELECT began FROM today) THEN submitted ELSE 0 END
   FROM count_deltas WHERE ` + counted + `) c`
}

// The statements of one customer and of several.
var (
	usageSQL  = usedSQL("", "customer_id = $1::text")
	usagesSQL = usedSQL("customer_id, ", "customer_id = ANY($1::text[])") + " GROUP BY 1"
)

func scanUsage(row pgx.CollectableRow) (u domain.Usage, err error) {
	return u, row.Scan(&u.Queued, &u.Running, &u.Paused, &u.SubmittedToday)
}

// usage counts a customer's workloads, in the transaction.
func (t *tx) usage(ctx context.Context, id domain.CustomerID) (domain.Usage, error) {
	rows, err := t.conn.Query(ctx, usageSQL, string(id))
	if err != nil {
		return domain.Usage{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanUsage)
}

// Usage implements ports.StatisticsStore.
func (s statistics) Usage(ctx context.Context, customer domain.CustomerID) (domain.Usage, error) {
	rows, err := query(ctx, s.s.reads.pool, scanUsage, usageSQL, string(customer))
	if err != nil {
		return domain.Usage{}, err
	}
	return rows[0], nil
}

// depthSQL returns the statement that counts by tier and type what is unfinished. counted selects
// the rows of the counts and lane the lanes. It walks from lane to lane by index to find what has
// waited longest.
func depthSQL(counted, lane string) string {
	return `WITH RECURSIVE walk AS (
  (SELECT w.lane_id, w.queue_at FROM waiting w WHERE ` + lane + ` ORDER BY w.lane_id, w.queue_at LIMIT 1)
  UNION ALL
  SELECT n.lane_id, n.queue_at FROM walk CROSS JOIN LATERAL (SELECT w.lane_id, w.queue_at FROM waiting w
   WHERE w.lane_id > walk.lane_id AND ` + lane + ` ORDER BY w.lane_id, w.queue_at LIMIT 1) n),
 oldest AS (SELECT l.customer_id, l.workload_type, min(h.queue_at) AS queue_at FROM (
   SELECT * FROM walk UNION ALL SELECT w.lane_id, w.queue_at FROM delayed w WHERE w.not_before <= niyanta_now()
    AND ` + lane + `) h
  JOIN lanes l USING (lane_id) GROUP BY 1, 2),
 counted AS (SELECT customer_id, workload_type, sum(queued) AS queued, sum(running) AS running, sum(paused) AS paused
    FROM (
   SELECT customer_id, workload_type, queued, running, paused FROM count_totals WHERE ` + counted + `
   UNION ALL SELECT customer_id, workload_type, queued, running, paused FROM count_deltas WHERE ` + counted + `) c
    GROUP BY 1, 2)
 SELECT c.tier COLLATE "C", n.workload_type, sum(n.queued)::bigint, sum(n.running)::bigint, sum(n.paused)::bigint,
    min(o.queue_at)
 FROM counted n JOIN customers c USING (customer_id) LEFT JOIN oldest o USING (customer_id, workload_type)
 GROUP BY 1, 2 HAVING sum(n.queued) <> 0 OR sum(n.running) <> 0 OR sum(n.paused) <> 0 ORDER BY 1, 2`
}

// The statements of one customer ($1) and of all. A lane's id begins with its customer's and '/';
// the character after '/' is '0'.
var (
	depthOfOneSQL = depthSQL("customer_id = $1::text", "w.lane_id > $1::text || '/' AND w.lane_id < $1::text || '0'")
	depthOfAllSQL = depthSQL("true", "true")
)

func scanDepth(row pgx.CollectableRow) (d domain.Depth, err error) {
	var oldest *time.Time
	err = row.Scan(&d.Tier, &d.Type, &d.Queued, &d.Running, &d.Paused, &oldest)
	d.Oldest = at(oldest)
	return d, err
}

// Depth implements ports.StatisticsStore.
func (s statistics) Depth(ctx context.Context, whose domain.Whose) ([]domain.Depth, error) {
	if whose.Everyone {
		return longRead(ctx, s.s.reads, "", scanDepth, depthOfAllSQL)
	}
	return longRead(ctx, s.s.reads, whose.Customer, scanDepth, depthOfOneSQL, string(whose.Customer))
}

const (
	activityColumns = "submitted, completed, failed, cancelled, executed_us, cpu_ms, peak_memory_mb"
	anyActivity     = "sum(submitted) <> 0 OR sum(completed) <> 0 OR sum(failed) <> 0 OR sum(cancelled) <> 0" +
		" OR sum(cpu_ms) <> 0 OR max(peak_memory_mb) <> 0"
)

// statisticsSQL returns the statement that counts what finished. of selects the rows of the counts.
func statisticsSQL(of string) string {
	rows := " WHERE " + of + " AND hour >= $2::timestamptz AND hour < $3::timestamptz"
	return `SELECT CASE $4::text WHEN 'day' THEN date_trunc('day', hour, 'UTC') WHEN 'hour' THEN hour END,
 CASE $4::text WHEN 'workload_type' THEN workload_type ELSE '' END COLLATE "C",
 sum(submitted)::bigint, sum(completed)::bigint, sum(failed)::bigint, sum(cancelled)::bigint,
 sum(executed_us)::bigint, sum(cpu_ms)::bigint, max(peak_memory_mb) FROM (
  SELECT hour, workload_type, ` + activityColumns + ` FROM count_hours` + rows + `
  UNION ALL SELECT date_trunc('hour', minute, 'UTC'), workload_type, ` + activityColumns + `
   FROM (SELECT *, minute AS hour FROM count_deltas) d` + rows + `) c
 GROUP BY 1, 2 HAVING ` + anyActivity + ` ORDER BY 1, 2`
}

// The statements of one customer and of all.
var (
	statisticsOfOneSQL = statisticsSQL("customer_id = $1::text")
	statisticsOfAllSQL = statisticsSQL("$1::text = ''")
)

// Statistics implements ports.StatisticsStore.
func (s statistics) Statistics(ctx context.Context, q domain.StatisticsQuery) ([]domain.Statistic, error) {
	statement := statisticsOfOneSQL
	if q.Everyone {
		statement = statisticsOfAllSQL
	}
	return longRead(ctx, s.s.reads, q.Customer, func(row pgx.CollectableRow) (g domain.Statistic, err error) {
		var began *time.Time
		var executed int64
		err = row.Scan(&began, &g.Type, &g.Submitted, &g.Completed, &g.Failed, &g.Cancelled, &executed,
			&g.Used.CPUMS, &g.Used.PeakMemoryMB)
		g.At, g.Executed = at(began), duration(executed)
		return g, err
	}, statement, string(q.Customer), q.From, q.Until, string(q.GroupBy))
}

// foldSQL moves rows into the totals. One statement does all of it, so that a reader finds each row
// either where it was or in the totals. Totals are written in the order of their keys, so that two
// folds cannot deadlock.
const foldSQL = `WITH taken AS (
  DELETE FROM count_deltas WHERE ctid = ANY(ARRAY(SELECT ctid FROM count_deltas LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED)) RETURNING *),
 totals AS (INSERT INTO count_totals AS t (customer_id, workload_type, queued, running, paused)
  SELECT customer_id, workload_type, sum(queued), sum(running), sum(paused) FROM taken GROUP BY 1, 2
  HAVING sum(queued) <> 0 OR sum(running) <> 0 OR sum(paused) <> 0 ORDER BY 1, 2
  ON CONFLICT (customer_id, workload_type) DO UPDATE SET
   queued = t.queued + excluded.queued, running = t.running + excluded.running, paused = t.paused + excluded.paused),
 hours AS (INSERT INTO count_hours AS h (customer_id, hour, workload_type, ` + activityColumns + `)
  SELECT customer_id, date_trunc('hour', minute, 'UTC'), workload_type, sum(submitted), sum(completed), sum(failed),
    sum(cancelled), sum(executed_us), sum(cpu_ms), max(peak_memory_mb) FROM taken
  GROUP BY 1, 2, 3 HAVING ` + anyActivity + ` ORDER BY 1, 2, 3
  ON CONFLICT (customer_id, hour, workload_type) DO UPDATE SET submitted = h.submitted + excluded.submitted,
   completed = h.completed + excluded.completed, failed = h.failed + excluded.failed,
   cancelled = h.cancelled + excluded.cancelled, executed_us = h.executed_us + excluded.executed_us,
   cpu_ms = h.cpu_ms + excluded.cpu_ms, peak_memory_mb = greatest(h.peak_memory_mb, excluded.peak_memory_mb)),
 minutes AS (INSERT INTO count_minutes AS m (customer_id, minute, ` + changeColumns + `)
  SELECT customer_id, minute, ` + sumOfChanges + ` FROM taken GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (customer_id, minute) DO UPDATE SET started = m.started + excluded.started,
   queued = m.queued + excluded.queued, running = m.running + excluded.running, paused = m.paused + excluded.paused,
   submitted = m.submitted + excluded.submitted, completed = m.completed + excluded.completed,
   failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled)
 SELECT count(*) FROM taken`

// Fold implements ports.StatisticsStore.
func (s statistics) Fold(ctx context.Context, limit int) (int, error) {
	n, err := queryOne[int](ctx, s.s.pool, foldSQL, limit)
	if err != nil || n == limit {
		return n, err
	}
	demand, err := s.foldDemand(ctx, limit-n)
	return n + demand, err
}
