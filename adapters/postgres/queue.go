package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type queue struct{ s *Store }

// promoteLimit bounds how many delayed workloads one statement moves.
const promoteLimit = 5000

var promoteSQL = `WITH due AS (
  DELETE FROM delayed WHERE workload_id IN (
    SELECT workload_id FROM delayed WHERE not_before <= niyanta_now() ORDER BY not_before LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED)
  RETURNING ` + waitingTable.names("") + `)
 INSERT INTO waiting (` + waitingTable.names("") + `) SELECT * FROM due`

// promote moves workloads that have become due from delayed to waiting. Rows that a concurrent
// transaction has locked are moved the next time.
func (q queue) promote(ctx context.Context) error {
	for {
		n, err := exec(ctx, q.s.pool, promoteSQL, promoteLimit)
		if err != nil || n < promoteLimit {
			return err
		}
	}
}

// promoted promotes what is due, and then reads rows, in one round trip. all is false if more may be
// due than one statement moves.
func promoted[T any](
	ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql string, args ...any,
) (rows []T, all bool, err error) {
	bounded, cancel := deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(promoteSQL, promoteLimit).Exec(func(moved pgconn.CommandTag) error {
		all = moved.RowsAffected() < promoteLimit
		return nil
	})
	b.Queue(sql, args...).Query(func(r pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(r, scan)
		return err
	})
	err = s.pool.SendBatch(bounded, b).Close()
	return rows, all, translate(ctx, err)
}

// headsSQL walks from lane to lane by index and reads the first workloads of each. It passes one
// lane more than the limit ($2) of a customer, to see that there are more. It passes no lane of
// customers whose lanes are chosen ($3): their lanes are $4. A lane's id begins with its
// customer's and '/'; the character after '/' is '0'.
const headsSQL = `WITH RECURSIVE eligible AS (
  (SELECT w.lane_id, split_part(w.lane_id, '/', 1) AS customer, 1 AS n FROM waiting w ORDER BY w.lane_id LIMIT 1)
  UNION ALL
  SELECT w.lane_id, split_part(w.lane_id, '/', 1), CASE WHEN split_part(w.lane_id, '/', 1) = e.customer THEN e.n + 1
    ELSE 1 END
  FROM eligible e CROSS JOIN LATERAL (SELECT w.lane_id FROM waiting w
    WHERE w.lane_id > CASE WHEN e.n > $2::bigint OR e.customer = ANY($3::text[]) THEN e.customer || '0'
    ELSE e.lane_id END
    ORDER BY w.lane_id LIMIT 1) w),
 wanted AS (SELECT lane_id, n > $2::bigint AS over FROM eligible WHERE customer <> ALL($3::text[])
  UNION ALL SELECT unnest($4::text[]) COLLATE "C", false)
` + headsOf + ` ORDER BY e.lane_id`

// headsOfSQL reads the first workloads of the given lanes.
const headsOfSQL = `WITH wanted AS (SELECT DISTINCT unnest($2::text[]) COLLATE "C" AS lane_id, false AS over)
` + headsOf + ` ORDER BY e.lane_id`

const headsOf = `SELECT e.lane_id, e.over, h.ids, h.generations, h.queued, h.declines, h.suspects, h.timeouts,
    niyanta_now() FROM wanted e
 CROSS JOIN LATERAL (SELECT array_agg(workload_id) AS ids, array_agg(generation) AS generations,
    array_agg(queue_at) AS queued,
   jsonb_object_agg(workload_id, declines) FILTER (WHERE declines IS NOT NULL) AS declines,
    array_agg(suspect_since) AS suspects, array_agg(coalesce(timeout_us, 0)) AS timeouts
   FROM (SELECT workload_id, generation, queue_at, declines, suspect_since, timeout_us FROM waiting w
    WHERE w.lane_id = e.lane_id ORDER BY w.queue_at, w.workload_id LIMIT $1::bigint) a) h`

// candidates has the columns of a list of heads.
type candidates struct {
	ids         []string
	generations []int64
	queued      []time.Time
	declines    []byte // by workload, of those that have any
	suspects    []*time.Time
	timeouts    []int64
}

func (c *candidates) list() ([]domain.Candidate, error) {
	var declines map[domain.WorkloadID][]domain.Decline
	if err := fromJSON(c.declines, &declines); err != nil {
		return nil, err
	}
	out := make([]domain.Candidate, len(c.ids))
	for i := range c.ids {
		id := domain.WorkloadID(c.ids[i])
		out[i] = domain.Candidate{ID: id, Generation: c.generations[i], QueueAt: c.queued[i].UTC(),
			Declines: declines[id], SuspectSince: at(c.suspects[i]), Timeout: duration(c.timeouts[i])}
	}
	return out, nil
}

// Heads implements ports.QueueStore.
func (q queue) Heads(ctx context.Context, hq domain.HeadsQuery) (domain.QueueHeads, error) {
	chosen, lanesOf, out := q.s.choices.known()
	sql, args := headsSQL, []any{hq.N + 1, hq.PerCustomer(), chosen, lanesOf}
	if len(hq.Lanes) > 0 {
		sql, args, out = headsOfSQL, []any{hq.N + 1, texts(hq.Lanes)}, domain.QueueHeads{}
	}
	var over []domain.CustomerID
	var now time.Time
	lanes := map[domain.LaneID]domain.Lane{}
	heads, all, err := promoted(ctx, q.s, func(row pgx.CollectableRow) (h domain.LaneHeads, err error) {
		var c candidates
		var beyond bool
		if err := row.Scan(&h.Lane.ID, &beyond, &c.ids, &c.generations, &c.queued, &c.declines, &c.suspects,
			&c.timeouts, &now); err != nil {
			return h, err
		}
		if beyond { // the lane that shows that its customer has more than the limit
			customer, _, _ := strings.Cut(string(h.Lane.ID), "/")
			over = append(over, domain.CustomerID(customer))
			return domain.LaneHeads{}, nil
		}
		lanes[h.Lane.ID] = domain.Lane{}
		if h.Heads, err = c.list(); err != nil {
			return h, err
		}
		if len(h.Heads) > hq.N {
			h.Heads, h.More = h.Heads[:hq.N:hq.N], true
		}
		return h, nil
	}, sql, args...)
	if err == nil && !all {
		if err = q.promote(ctx); err == nil {
			return q.Heads(ctx, hq)
		}
	}
	if err != nil {
		return domain.QueueHeads{}, err
	}
	if err := q.s.fillLanes(ctx, lanes); err != nil {
		return domain.QueueHeads{}, err
	}
	out.Lanes, out.Now = heads[:0], now.UTC()
	for _, h := range heads {
		if len(h.Heads) > 0 {
			h.Lane = lanes[h.Lane.ID]
			out.Lanes = append(out.Lanes, h)
		}
	}
	if len(hq.Lanes) == 0 {
		out.Cut += len(over)
		q.choose(ctx, hq, over, out.Lanes)
	}
	return out, nil
}

// NextDue implements ports.QueueStore.
func (q queue) NextDue(ctx context.Context) (in time.Duration, ok bool, err error) {
	due, err := queryOne[*int64](ctx, q.s.pool,
		`SELECT (extract(epoch FROM min(not_before) - niyanta_now()) * 1000000)::bigint FROM delayed
 WHERE not_before > niyanta_now()`)
	if err != nil || due == nil {
		return 0, false, err
	}
	return max(duration(*due), 0), true, nil
}

const heldColumns = `h.workload_id, h.customer_id, h.worker_id, h.session_id, h.lane_id, h.generation, h.running,
    h.pause_requested,
 (extract(epoch FROM niyanta_now() - h.scheduled_at) * 1000000)::bigint, coalesce(h.suspect_until > niyanta_now(),
    false)`

func scanHeld(row pgx.CollectableRow, more ...any) (ports.HeldWorkload, error) {
	var h ports.HeldWorkload
	var running bool
	var age int64
	targets := []any{&h.WorkloadID, &h.CustomerID, &h.WorkerID, &h.SessionID, &h.Lane, &h.Generation, &running,
		&h.PauseRequested, &age, &h.Suspect}
	err := row.Scan(append(targets, more...)...)
	h.HeldFor, h.Status = duration(age), domain.StatusScheduled
	if running {
		h.Status = domain.StatusRunning
	}
	return h, err
}

func (q queue) held(ctx context.Context, where string, args ...any) ([]ports.HeldWorkload, error) {
	return query(ctx, q.s.pool, func(row pgx.CollectableRow) (ports.HeldWorkload, error) { return scanHeld(row) },
		"SELECT "+heldColumns+" FROM held h WHERE "+where, args...)
}

// Held implements ports.QueueStore.
func (q queue) Held(ctx context.Context, sessions ...domain.SessionID) ([]ports.HeldWorkload, error) {
	return query(ctx, q.s.pool, func(row pgx.CollectableRow) (ports.HeldWorkload, error) {
		var ending bool
		var endingFor int64
		var status domain.Status
		h, err := scanHeld(row, &ending, &endingFor, &status)
		if h.Ending, h.EndingFor = ending, duration(endingFor); ending {
			h.Status = status
		}
		return h, err
	}, "SELECT "+heldColumns+`, false, 0, '' FROM held h WHERE h.session_id = ANY($1::text[])
 UNION ALL SELECT e.workload_id, e.customer_id, e.worker_id, e.session_id, e.lane_id, e.generation, false, false,
  (extract(epoch FROM niyanta_now() - e.assigned_at) * 1000000)::bigint, false, true, (extract(epoch
    FROM niyanta_now() - e.ended_at) * 1000000)::bigint,
  coalesce((SELECT w.status FROM workloads w WHERE w.workload_id = e.workload_id), '')
  FROM ending e `+ofLiveSession("e")+` WHERE e.session_id = ANY($1::text[]) ORDER BY 11, 1, 6`, texts(sessions))
}

// Unstarted implements ports.QueueStore.
func (q queue) Unstarted(
	ctx context.Context, age time.Duration, after domain.WorkloadID, limit int,
) ([]ports.HeldWorkload, error) {
	return q.held(ctx, `h.workload_id > $1::text AND NOT h.running
    AND h.scheduled_at < niyanta_now() - $2::bigint * interval '1 microsecond'
 ORDER BY h.workload_id LIMIT $3::bigint`, string(after), age.Microseconds(), limit)
}

// Overdue implements ports.QueueStore.
func (q queue) Overdue(
	ctx context.Context, grace time.Duration, after domain.WorkloadID, limit int,
) ([]ports.HeldWorkload, error) {
	// The materialized part is read by the index of deadlines, whatever the planner thinks of the
	// order. So only what is due is read.
	return query(ctx, q.s.pool, func(row pgx.CollectableRow) (ports.HeldWorkload, error) { return scanHeld(row) },
		`WITH h AS MATERIALIZED (SELECT * FROM held WHERE running
    AND deadline < niyanta_now() - $2::bigint * interval '1 microsecond')
 SELECT `+heldColumns+` FROM h WHERE h.workload_id > $1::text ORDER BY h.workload_id LIMIT $3::bigint`,
		string(after), grace.Microseconds(), limit)
}

// Orphans implements ports.QueueStore.
func (q queue) Orphans(ctx context.Context, after domain.WorkloadID, limit int) ([]ports.Orphan, error) {
	return query(ctx, q.s.pool, func(row pgx.CollectableRow) (o ports.Orphan, err error) {
		var end domain.EndedSession
		var deaths []string
		o.HeldWorkload, err = scanHeld(row, &end.Loss, &end.Supervised, &end.Returned, &o.Shared, &deaths)
		o.Loss, o.Excused = end.Loss, end.Excused()
		for _, id := range deaths {
			o.Returned = append(o.Returned, domain.SessionID(id))
		}
		return o, err
	}, "SELECT "+heldColumns+`, coalesce(e.loss, $3::text), coalesce(e.supervised, false), coalesce(e.returned, false),
 coalesce(h.suspect_until > niyanta_now() AND (e.suspects > 1 OR
  (SELECT count(*) FROM held o WHERE o.session_id = h.session_id AND o.suspect_until > niyanta_now()) > 1), false),
 (SELECT array_agg(r.session_id) FROM workloads w CROSS JOIN LATERAL jsonb_array_elements_text(w.deaths) d(id)
  JOIN ended_sessions r ON r.session_id = d.id AND r.returned WHERE w.workload_id = h.workload_id)
 FROM held h
 LEFT JOIN worker_leases l ON l.worker_id = h.worker_id AND l.session_id = h.session_id AND l.live
 LEFT JOIN ended_sessions e ON e.session_id = h.session_id
 WHERE h.workload_id > $1::text AND l.worker_id IS NULL ORDER BY h.workload_id
    LIMIT $2::bigint`, string(after), limit, string(domain.LossExpired))
}
