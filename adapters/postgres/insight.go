package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type insight struct{ s *Store }

// aheadSQL counts up to $4 of the workloads of each lane before its cutoff. It also returns when the
// first and the last of those began to wait, and the last of the lane.
const aheadSQL = `SELECT b.n, b.first, b.last, (
  SELECT w.queue_at FROM waiting w WHERE w.lane_id = c.lane_id ORDER BY w.queue_at DESC, w.workload_id DESC LIMIT 1)
 FROM unnest($1::text[], $2::timestamptz[], $3::text[]) WITH ORDINALITY AS c(lane_id, queue_at, workload_id, place)
 CROSS JOIN LATERAL (SELECT count(*) AS n, min(queue_at) AS first, max(queue_at) AS last FROM (
  SELECT w.queue_at FROM waiting w WHERE w.lane_id = c.lane_id
   AND (w.queue_at, w.workload_id) < (coalesce(c.queue_at, 'infinity'), c.workload_id)
  ORDER BY w.queue_at, w.workload_id LIMIT $4::bigint) a) b ORDER BY c.place`

// minShare is how many workloads of a lane are counted at least.
const minShare = 16

// Ahead implements ports.InsightStore. It counts an equal share of the limit in each lane, then twice
// as much of the lanes that have more, and so on. When that makes more than the limit, it
// extrapolates what is left of those.
func (i insight) Ahead(ctx context.Context, cutoffs []ports.Cutoff, limit int) ([]int, bool, error) {
	if len(cutoffs) == 0 {
		return nil, true, ctx.Err()
	}
	if err := queue(i).promote(ctx); err != nil {
		return nil, false, err
	}
	counts := make([]int, len(cutoffs))
	left := make([]int, len(cutoffs)) // the places of the lanes that have more
	for place := range cutoffs {
		left[place] = place
	}
	total := 0
	for share := max(limit/len(cutoffs), minShare); ; share *= 2 {
		found, err := i.ahead(ctx, each(left, func(place int) ports.Cutoff { return cutoffs[place] }), share)
		if err != nil {
			return nil, false, err
		}
		var more []int
		var parts []partOfLane
		for n, place := range left {
			total += found[n].n - counts[place]
			counts[place] = found[n].n
			if found[n].n == share {
				more, parts = append(more, place), append(parts, found[n])
			}
		}
		if total > limit {
			for n, place := range more {
				counts[place] = parts[n].whole(cutoffs[place].Before.QueueAt)
			}
			return counts, false, nil
		}
		if len(more) == 0 {
			return counts, true, nil
		}
		left = more
	}
}

// partOfLane is how many workloads of a lane were counted, when the first and the last of them began
// to wait, and when the last of the lane did.
type partOfLane struct {
	n                   int
	first, last, newest *time.Time
}

// whole estimates how many there are up to a time: as many in each second as were counted. A zero
// time means the end of the lane.
func (p *partOfLane) whole(until time.Time) int {
	if newest := at(p.newest); until.IsZero() || newest.Before(until) {
		until = newest
	}
	counted := at(p.last).Sub(at(p.first))
	if counted <= 0 {
		return p.n
	}
	return max(p.n, int(float64(p.n)*float64(until.Sub(at(p.first)))/float64(counted)))
}

func (i insight) ahead(ctx context.Context, cutoffs []ports.Cutoff, limit int) ([]partOfLane, error) {
	type c = ports.Cutoff
	return query(ctx, i.s.reads.pool, func(row pgx.CollectableRow) (p partOfLane, err error) {
		return p, row.Scan(&p.n, &p.first, &p.last, &p.newest)
	}, aheadSQL,
		each(cutoffs, func(c c) string { return string(c.Lane) }),
		each(cutoffs, func(c c) *time.Time { return null(c.Before.QueueAt) }),
		each(cutoffs, func(c c) string { return string(c.Before.ID) }), limit)
}

// Usages implements ports.InsightStore.
func (i insight) Usages(
	ctx context.Context, customers []domain.CustomerID,
) (map[domain.CustomerID]domain.Usage, error) {
	out := map[domain.CustomerID]domain.Usage{}
	_, err := query(ctx, i.s.reads.pool, func(row pgx.CollectableRow) (id domain.CustomerID, err error) {
		var u domain.Usage
		err = row.Scan(&id, &u.Queued, &u.Running, &u.Paused, &u.SubmittedToday)
		out[id] = u
		return id, err
	}, usagesSQL, each(customers, func(c domain.CustomerID) string { return string(c) }))
	if err != nil {
		return nil, err
	}
	return out, nil
}

// SaveThroughput implements ports.InsightStore.
func (i insight) SaveThroughput(ctx context.Context, p domain.Throughput) error {
	types, err := json.Marshal(p.Types)
	if err != nil {
		return err
	}
	customers, err := json.Marshal(p.Customers)
	if err != nil {
		return err
	}
	waits, err := json.Marshal(p.Waits)
	if err != nil {
		return err
	}
	lanes, err := json.Marshal(p.Lanes)
	if err != nil {
		return err
	}
	_, err = exec(ctx, i.s.pool, `INSERT INTO scheduling_pace (at, window_us, types, customers, waits, waits_at, lanes,
    lanes_at)
    VALUES ($1::timestamptz, $2::bigint, $3::text::jsonb, $4::text::jsonb, $5::text::jsonb, $1::timestamptz,
      $6::text::jsonb, $1::timestamptz)
 ON CONFLICT (one) DO UPDATE SET at = excluded.at, window_us = excluded.window_us, types = excluded.types,
    customers = excluded.customers, waits = excluded.waits, waits_at = excluded.waits_at,
    lanes = excluded.lanes, lanes_at = excluded.lanes_at`,
		p.At, p.Window.Microseconds(), string(types), string(customers), string(waits), string(lanes))
	return err
}

// Throughput implements ports.InsightStore.
func (i insight) Throughput(ctx context.Context) (domain.Throughput, error) {
	rows, err := query(ctx, i.s.pool, func(row pgx.CollectableRow) (p domain.Throughput, err error) {
		var window int64
		var types, customers, waits, lanes []byte
		if err := row.Scan(&p.At, &window, &types, &customers, &waits, &lanes); err != nil {
			return p, err
		}
		p.At, p.Window = p.At.UTC(), duration(window)
		if err := json.Unmarshal(types, &p.Types); err != nil {
			return p, err
		}
		if err := json.Unmarshal(customers, &p.Customers); err != nil {
			return p, err
		}
		if err := json.Unmarshal(waits, &p.Waits); err != nil {
			return p, err
		}
		return p, json.Unmarshal(lanes, &p.Lanes)
	}, `SELECT at, window_us, types, customers, CASE WHEN waits_at = at THEN waits ELSE 'null' END,
    CASE WHEN lanes_at = at THEN lanes ELSE 'null' END
  FROM scheduling_pace`)
	if err != nil || len(rows) == 0 {
		return domain.Throughput{}, err
	}
	return rows[0], nil
}
