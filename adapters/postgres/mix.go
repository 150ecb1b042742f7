package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// What is submitted and asks for devices is counted as other counts are: a transaction inserts rows
// into demand_deltas, and Fold moves them to demand_hours.
var (
	demandTable = table[domain.Demand]{"demand_deltas", []column[domain.Demand]{
		instant("hour", func(d *domain.Demand) *time.Time { return &d.Hour }),
		reserved(func(d *domain.Demand) *domain.Resources { return &d.Resources }),
		integer("submitted", func(d *domain.Demand) *int { return &d.Submitted }),
	}}
	insertDemand = demandTable.insert()
)

// mixSince is the hour in which the mix begins.
var mixSince = fmt.Sprintf("date_trunc('hour', niyanta_now() - %d * interval '1 microsecond', 'UTC')",
	domain.MixPeriod.Microseconds())

var mixSQL = `SELECT hour, resources, submitted FROM demand_hours WHERE hour >= ` + mixSince + `
 UNION ALL SELECT hour, resources, submitted FROM demand_deltas WHERE hour >= ` + mixSince

const foldDemandSQL = `WITH taken AS (
  DELETE FROM demand_deltas WHERE ctid = ANY(ARRAY(SELECT ctid FROM demand_deltas LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED)) RETURNING *),
 hours AS (INSERT INTO demand_hours AS h (hour, resources, submitted)
  SELECT hour, resources, sum(submitted) FROM taken GROUP BY 1, 2 ORDER BY 1, md5(resources::text)
  ON CONFLICT (hour, md5(resources::text)) DO UPDATE SET submitted = h.submitted + excluded.submitted)
 SELECT count(*) FROM taken`

// trimDemandSQL removes the classes beyond the limit $1 of the hours of the mix.
var trimDemandSQL = `DELETE FROM demand_hours WHERE (hour, resources) IN (SELECT hour, resources FROM (
  SELECT hour, resources, row_number() OVER (PARTITION BY hour ORDER BY submitted DESC, resources) AS place
  FROM demand_hours WHERE hour >= ` + mixSince + `) h WHERE place > $1::bigint)`

// foldDemand folds the demand, up to a limit.
func (s statistics) foldDemand(ctx context.Context, limit int) (int, error) {
	n, err := queryOne[int](ctx, s.s.pool, foldDemandSQL, limit)
	if err == nil && n > 0 {
		_, err = exec(ctx, s.s.pool, trimDemandSQL, domain.MixHourLimit)
	}
	return n, err
}

// queueDemand queues the counts of submissions that ask for devices.
func (t *tx) queueDemand(ws []*domain.Workload) {
	ds := domain.Demands{}
	for _, w := range ws {
		ds.Add(domain.HourOf(t.now), w.Run.Resources, 1)
	}
	writeRows(t, &demandTable, insertDemand, ds.Sorted())
}

// Mix implements ports.StatisticsStore.
func (s statistics) Mix(ctx context.Context) ([]domain.MixClass, error) {
	ds := domain.Demands{}
	_, err := query(ctx, s.s.reads.pool, func(row pgx.CollectableRow) (none struct{}, err error) {
		d, err := demandTable.scan(row)
		ds.Add(d.Hour, d.Resources, d.Submitted)
		return none, err
	}, mixSQL)
	return ds.Mix(), err
}
