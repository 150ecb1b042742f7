package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// occupancySQL returns the statement that counts by session and lane what is held and what is
// ending, of the sessions that match the condition.
func occupancySQL(where string) string {
	return `SELECT h.session_id, h.lane_id, count(*), 0, count(*) FILTER (WHERE h.suspect_until > niyanta_now()), NULL,
    ` + expected("h", "h.ends_by", "h.scheduled_at") + ` FROM held h WHERE h.` + where + ` GROUP BY 1, 2
 UNION ALL SELECT e.session_id, e.lane_id, 0, count(*), 0, max(e.found_at),
    ` + expected("e", "NULL::timestamptz", "e.ended_at") + `
    FROM ending e ` + ofLiveSession("e") + ` WHERE e.` + where + ` GROUP BY 1, 2 ORDER BY 1, 2`
}

// expected returns the expressions for when runs end. Of all: the latest end by a timeout, and since
// when the first one runs that has none. Of each that holds devices: the devices, the end, and since
// when it runs. At last the store's time.
func expected(alias, endsBy, since string) string {
	holds := " FILTER (WHERE " + alias + ".devices IS NOT NULL)"
	return "max(" + endsBy + "), min(" + since + ") FILTER (WHERE " + endsBy + " IS NULL), jsonb_agg(" + alias +
		".devices)" + holds + ", array_agg(" + endsBy + ")" + holds + ", array_agg(" + since + ")" + holds +
		", niyanta_now()"
}

var (
	occupancyOfAll      = occupancySQL("session_id IS NOT NULL")
	occupancyOfSessions = occupancySQL("session_id = ANY($1::text[])")
)

// Occupancy implements ports.QueueStore.
func (q queue) Occupancy(ctx context.Context, sessions ...domain.SessionID) ([]domain.Occupancy, error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	sql, args := occupancyOfAll, []any(nil)
	if len(sessions) > 0 {
		sql, args = occupancyOfSessions, []any{texts(sessions)}
	}
	out, err := q.s.lanes.occupancy(bounded, q.s.pool, sql, args...)
	return out, translate(ctx, err)
}

// querier is a pool, or a connection in a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// occupancy reads what one of the statements of occupancySQL counts, with the lanes.
func (k *knownLanes) occupancy(ctx context.Context, from querier, sql string, args ...any) ([]domain.Occupancy, error) {
	rows, err := from.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	out, err := collectOccupancy(rows)
	if err != nil {
		return nil, err
	}
	return out, k.fillOccupancy(ctx, from, out)
}

// fillOccupancy fills in the lanes, of which the ids are there.
func (k *knownLanes) fillOccupancy(ctx context.Context, from querier, os []domain.Occupancy) error {
	lanes := map[domain.LaneID]domain.Lane{}
	for i := range os {
		lanes[os[i].Lane.ID] = domain.Lane{}
	}
	if err := k.fill(ctx, from, lanes); err != nil {
		return err
	}
	for i := range os {
		os[i].Lane = lanes[os[i].Lane.ID].Clone()
	}
	return nil
}

// collectOccupancy reads the rows of one of the statements of occupancySQL. Of the lanes, it reads
// the ids.
func collectOccupancy(rows pgx.Rows) ([]domain.Occupancy, error) {
	var out []domain.Occupancy
	var o domain.Occupancy
	var found *time.Time
	var devices []byte // the lists of the runs that hold any
	var latest, oldest *time.Time
	var ends, since []*time.Time
	var now time.Time
	targets := []any{&o.SessionID, &o.Lane.ID, &o.Count, &o.Ending, &o.Suspects, &found, &latest, &oldest, &devices,
		&ends, &since, &now}
	_, err := pgx.ForEachRow(rows, targets, func() error {
		var runs [][]domain.DeviceShare
		if err := fromJSON(devices, &runs); err != nil {
			return err
		}
		last := len(out) - 1
		if last < 0 || out[last].SessionID != o.SessionID || out[last].Lane.ID != o.Lane.ID {
			out = append(out, domain.Occupancy{SessionID: o.SessionID, Lane: o.Lane})
			last++
		}
		sum := &out[last]
		sum.Count, sum.Ending = sum.Count+o.Count, sum.Ending+o.Ending
		sum.Suspects = max(sum.Suspects, o.Suspects)
		if t := at(found); t.After(sum.FoundAt) {
			sum.FoundAt = t
		}
		sum.Expect(at(latest))
		if oldest != nil {
			sum.Expect(domain.ExpectedEnd(time.Time{}, at(oldest), now.UTC()))
		}
		for i := range runs {
			sum.Hold(runs[i], domain.ExpectedEnd(at(ends[i]), at(since[i]), now.UTC()))
		}
		return nil
	})
	return out, err
}

// assigneeTable has the columns that say what a worker has.
var (
	assigneeTable = table[domain.Worker]{"workers", join(
		workerTable.as("workers", "worker_id", "session_id").columns, offerColumns,
	)}
	selectAssignees = "SELECT " + assigneeTable.names("") + " FROM workers WHERE session_id = ANY($1::text[])"
)

// fillHoldings reads into the tally what the sessions have and hold that get a workload which
// reserves anything. If there are none, it reads nothing. The tally's locks keep what a worker has,
// and the growth of what it holds, as they are.
func (t *tx) fillHoldings(
	ctx context.Context, ts []domain.Transition, found map[domain.WorkloadID]*domain.Workload, y *domain.Tally,
) error {
	var sessions []string
	for i := range ts {
		w := found[ts[i].WorkloadID]
		if ts[i].Event == domain.EventAssign && w != nil && !w.Run.Resources.IsZero() {
			sessions = append(sessions, string(ts[i].SessionID))
		}
	}
	if len(sessions) == 0 {
		return nil
	}
	rows, err := t.conn.Query(ctx, selectAssignees, sessions)
	if err != nil {
		return err
	}
	workers, err := pgx.CollectRows(rows, assigneeTable.scanInto)
	if err != nil {
		return err
	}
	y.Holdings = make(map[domain.SessionID]*domain.Holding, len(workers))
	for _, w := range workers {
		y.Holdings[w.SessionID] = new(domain.NewHolding(&w.Resources))
	}
	held, err := t.lanes.occupancy(ctx, t.conn, occupancyOfSessions, sessions)
	for i := range held {
		if h := y.Holdings[held[i].SessionID]; h != nil {
			h.Take(&held[i].Lane.Resources, held[i].Devices, held[i].Count+held[i].Ending)
		}
	}
	return err
}
