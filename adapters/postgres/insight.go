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

// Ahead implements ports.InsightStore.
func (i insight) Ahead(ctx context.Context, cutoffs []ports.Cutoff, limit int) ([]int, error) {
	if len(cutoffs) == 0 {
		return nil, ctx.Err()
	}
	if err := queue(i).promote(ctx); err != nil {
		return nil, err
	}
	type c = ports.Cutoff
	return query(ctx, i.s.reads.pool, pgx.RowTo[int], `SELECT a.n
    FROM unnest($1::text[], $2::timestamptz[], $3::text[]) WITH ORDINALITY AS c(lane_id, queue_at, workload_id, place)
 CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM waiting w WHERE w.lane_id = c.lane_id
   AND (w.queue_at, w.workload_id) < (coalesce(c.queue_at, 'infinity'), c.workload_id) LIMIT $4::bigint) b) a
    ORDER BY c.place`,
		each(cutoffs, func(c c) string { return string(c.Lane) }),
		each(cutoffs, func(c c) *time.Time { return null(c.Before.QueueAt) }),
		each(cutoffs, func(c c) string { return string(c.Before.ID) }), limit)
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
	_, err = exec(ctx, i.s.pool, `INSERT INTO scheduling_pace (at, window_us, types, customers)
    VALUES ($1::timestamptz, $2::bigint, $3::text::jsonb, $4::text::jsonb)
 ON CONFLICT (one) DO UPDATE SET at = excluded.at, window_us = excluded.window_us, types = excluded.types,
    customers = excluded.customers`,
		p.At, p.Window.Microseconds(), string(types), string(customers))
	return err
}

// Throughput implements ports.InsightStore.
func (i insight) Throughput(ctx context.Context) (domain.Throughput, error) {
	rows, err := query(ctx, i.s.pool, func(row pgx.CollectableRow) (p domain.Throughput, err error) {
		var window int64
		var types, customers []byte
		if err := row.Scan(&p.At, &window, &types, &customers); err != nil {
			return p, err
		}
		p.At, p.Window = p.At.UTC(), duration(window)
		if err := json.Unmarshal(types, &p.Types); err != nil {
			return p, err
		}
		return p, json.Unmarshal(customers, &p.Customers)
	}, "SELECT at, window_us, types, customers FROM scheduling_pace")
	if err != nil || len(rows) == 0 {
		return domain.Throughput{}, err
	}
	return rows[0], nil
}
