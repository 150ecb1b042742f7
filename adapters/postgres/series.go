package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// The columns of a change, and their sums.
const (
	changeColumns = "started, queued, running, paused, submitted, completed, failed, cancelled"
	sumOfChanges  = "sum(started)::bigint, sum(queued)::bigint, sum(running)::bigint, sum(paused)::bigint, " +
		"sum(submitted)::bigint, sum(completed)::bigint, sum(failed)::bigint, sum(cancelled)::bigint"
)

// seriesSince is the minute in which series begin.
var seriesSince = fmt.Sprintf("date_trunc('minute', niyanta_now() - %d * interval '1 microsecond', 'UTC')",
	domain.SeriesPeriod.Microseconds())

// recentSQL returns the statement that reads the levels by tier, without a minute, and the changes by
// minute and tier. counted selects the rows of the counts. It sums up by customer before it looks for
// the tiers.
func recentSQL(counted string) string {
	return `WITH levels AS (SELECT customer_id, sum(queued) AS queued, sum(running) AS running, sum(paused) AS paused
   FROM (SELECT customer_id, queued, running, paused FROM count_totals WHERE ` + counted + `
   UNION ALL SELECT customer_id, queued, running, paused FROM count_deltas WHERE ` + counted + `) l GROUP BY 1)
 SELECT NULL::timestamptz, c.tier COLLATE "C", 0::bigint, sum(queued)::bigint, sum(running)::bigint,
    sum(paused)::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint
  FROM levels JOIN customers c USING (customer_id) GROUP BY 2
 UNION ALL SELECT minute, c.tier COLLATE "C", ` + sumOfChanges + ` FROM (
   SELECT customer_id, minute, ` + changeColumns + ` FROM count_minutes
    WHERE minute >= $1::timestamptz AND ` + counted + `
   UNION ALL SELECT customer_id, minute, ` + changeColumns + ` FROM count_deltas
    WHERE minute >= $1::timestamptz AND ` + counted + `) m JOIN customers c USING (customer_id) GROUP BY 1, 2`
}

var (
	recentOfOneSQL = recentSQL("customer_id = $2::text")
	recentOfAllSQL = recentSQL("true")
)

func scanChange(row pgx.CollectableRow) (c domain.MinuteChange, err error) {
	var minute *time.Time
	err = row.Scan(&minute, &c.Tier, &c.Started, &c.Queued, &c.Running, &c.Paused, &c.Submitted, &c.Completed, &c.Failed,
		&c.Cancelled)
	c.Minute = at(minute)
	return c, err
}

// Recent implements ports.StatisticsStore.
func (s statistics) Recent(
	ctx context.Context, whose domain.Whose, since time.Time,
) (out domain.Recent, err error) {
	sql, turn, args := recentOfOneSQL, whose.Customer, []any{since, string(whose.Customer)}
	if whose.Everyone {
		sql, turn, args = recentOfAllSQL, "", args[:1]
	}
	rows, err := longRead(ctx, s.s.reads, turn, scanChange, sql, args...)
	for _, c := range rows {
		if c.Minute.IsZero() {
			out.Levels = append(out.Levels, domain.Level{Tier: c.Tier, Unfinished: c.Unfinished})
		} else {
			out.Changes = append(out.Changes, c)
		}
	}
	return out, err
}
