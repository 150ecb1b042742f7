package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

const backlogCustomersSQL = `SELECT customer_id, sum(queued)::bigint, sum(running)::bigint, sum(paused)::bigint FROM (
   SELECT customer_id, queued, running, paused FROM count_totals
   UNION ALL SELECT customer_id, queued, running, paused FROM count_deltas) c
 GROUP BY 1 HAVING sum(queued) > 0 OR sum(running) > 0 ORDER BY 1`

// backlogLanesSQL walks from lane to lane by index, and counts at most $1 workloads of each. Delayed
// workloads that are due have not been moved yet; there are few of them, and at most $1 are looked
// at.
const backlogLanesSQL = `WITH RECURSIVE w AS (
  (SELECT lane_id FROM waiting ORDER BY lane_id LIMIT 1)
  UNION ALL
  SELECT n.lane_id FROM w CROSS JOIN LATERAL (SELECT x.lane_id FROM waiting x WHERE x.lane_id > w.lane_id
   ORDER BY x.lane_id LIMIT 1) n),
 d AS (
  (SELECT lane_id FROM delayed ORDER BY lane_id LIMIT 1)
  UNION ALL
  SELECT n.lane_id FROM d CROSS JOIN LATERAL (SELECT x.lane_id FROM delayed x WHERE x.lane_id > d.lane_id
   ORDER BY x.lane_id LIMIT 1) n),
 due AS (SELECT lane_id, count(*) AS n, min(queue_at) AS oldest FROM (SELECT lane_id, queue_at FROM delayed
   WHERE not_before <= niyanta_now() ORDER BY not_before LIMIT $1::bigint) x GROUP BY lane_id),
 counted AS (SELECT lane_id,
   (SELECT count(*) FROM (SELECT FROM waiting x WHERE x.lane_id = l.lane_id LIMIT $1::bigint) c) AS waiting,
   (SELECT min(x.queue_at) FROM waiting x WHERE x.lane_id = l.lane_id) AS oldest,
   (SELECT count(*) FROM (SELECT FROM delayed x WHERE x.lane_id = l.lane_id LIMIT $1::bigint) c) AS delayed
  FROM (SELECT lane_id FROM w UNION SELECT lane_id FROM d) l)
 SELECT c.lane_id, least(c.waiting + coalesce(due.n, 0), $1::bigint), greatest(c.delayed - coalesce(due.n, 0), 0),
  least(c.oldest, due.oldest), niyanta_now()
 FROM counted c LEFT JOIN due USING (lane_id) ORDER BY c.lane_id`

// laneCount is a row of backlogLanesSQL.
type laneCount struct {
	domain.LaneBacklog
	now time.Time
}

func scanLaneCount(row pgx.CollectableRow) (l laneCount, err error) {
	var oldest *time.Time
	err = row.Scan(&l.Lane.ID, &l.Waiting, &l.Delayed, &oldest, &l.now)
	l.Oldest = at(oldest)
	return l, err
}

func scanCustomerBacklog(row pgx.CollectableRow) (c domain.CustomerBacklog, err error) {
	return c, row.Scan(&c.CustomerID, &c.Queued, &c.Running, &c.Paused)
}

// Backlog implements ports.StatisticsStore.
func (s statistics) Backlog(ctx context.Context) (domain.Backlog, error) {
	var b domain.Backlog
	var err error
	b.Customers, err = longRead(ctx, s.s.reads, "", scanCustomerBacklog, backlogCustomersSQL)
	if err != nil {
		return b, err
	}
	counts, err := longRead(ctx, s.s.reads, "", scanLaneCount, backlogLanesSQL, domain.BacklogLimit)
	if err != nil || len(counts) == 0 {
		return b, err
	}
	lanes := make(map[domain.LaneID]domain.Lane, len(counts))
	for i := range counts {
		lanes[counts[i].Lane.ID] = domain.Lane{}
	}
	if err := s.s.fillLanes(ctx, lanes); err != nil {
		return b, err
	}
	b.Now = counts[0].now
	for _, c := range counts {
		c.Lane = lanes[c.Lane.ID]
		if c.Lane.ID != "" { // otherwise it was removed meanwhile, with all that was in it
			b.Lanes = append(b.Lanes, c.LaneBacklog)
		}
	}
	return b, nil
}
