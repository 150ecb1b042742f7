package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// Apply implements ports.WorkloadStore.
func (w workloads) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	if len(b.Transitions) == 0 && b.Epoch == 0 {
		return nil, ctx.Err()
	}
	return inTx(ctx, w.s, w.s.pool, func(ctx context.Context, t *tx) ([]domain.Result, error) {
		results, err := t.apply(ctx, b)
		if err != nil {
			return nil, err
		}
		return results, t.commit(ctx)
	})
}

// apply locks and reads the rows that a batch concerns, executes the batch, and queues the writes
// for the commit.
func (t *tx) apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	assigns := false
	ids := make([]string, len(b.Transitions))
	for i := range b.Transitions {
		ids[i] = string(b.Transitions[i].WorkloadID)
		assigns = assigns || b.Transitions[i].Event == domain.EventAssign
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if b.Epoch != 0 || b.NeedsEpoch() {
		t.queueEpoch(b.Epoch, assigns)
	}
	tally := &domain.Tally{Workers: map[domain.WorkerID]*domain.Worker{}}
	if assigns {
		t.queueTally(tally, b.Transitions)
	}
	found := map[domain.WorkloadID]*domain.Workload{}
	row, lock := &workloadTable, lockWorkloads
	if assigns {
		row, lock = &assignedRow, lockAssigned
	}
	t.queue(lock, ids).Query(func(rows pgx.Rows) error {
		ws, err := pgx.CollectRows(rows, row.scanInto)
		for _, w := range ws {
			found[w.ID] = w
		}
		return err
	})
	t.queueReporters(tally, b.Transitions)
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	if assigns {
		if err := t.fillHoldings(ctx, b.Transitions, found, tally); err != nil {
			return nil, err
		}
	}
	results := make([]domain.Result, len(b.Transitions))
	var changes []change
	var events []domain.AuditEvent
	var acts []domain.AdminEvent
	deltas := domain.Deltas{}
	var written lines
	var keep, free []domain.Ending
	var ghosts []*domain.Workload // may stand in the queue, and did not wait before the batch
	touched := map[domain.WorkloadID]bool{}
	for i := range b.Transitions {
		w := found[b.Transitions[i].WorkloadID]
		var before domain.State
		if w != nil {
			before = w.State
		}
		res, event, changed := domain.Execute(w, &b.Transitions[i], tally, t.now)
		results[i] = res
		if b.Transitions[i].Event == domain.EventAssign && w != nil && !w.Status.Waiting() && !res.Outcome.OK() &&
			!touched[w.ID] {
			ghosts = append(ghosts, w)
		}
		if res.Outcome == domain.OutcomeApplied {
			written.add(&b.Transitions[i])
		}
		switch res.Hands {
		case domain.HandsKeep:
			keep = append(keep, res.Ending)
		case domain.HandsFree:
			free = append(free, res.Ending)
			keep = slices.DeleteFunc(keep, func(e domain.Ending) bool {
				return e.Run() == res.Ending.Run() && e.SessionID == res.Ending.SessionID
			})
		case domain.HandsSame:
		}
		if !changed {
			continue
		}
		if !touched[w.ID] {
			touched[w.ID] = true
			changes = append(changes, change{before, w})
		}
		switch b.Transitions[i].Event {
		case domain.EventCancel, domain.EventResume, domain.EventRequestPause:
			t.wrote = append(t.wrote, w.CustomerID)
		default: // of the leader or a worker: no client reads what it has just written
		}
		deltas.Add(domain.CountChange(&before, w, event.Used))
		if event.Type != "" {
			events = append(events, event)
		}
		acts = append(acts, b.Transitions[i].Act(&res, t.now))
	}
	t.deleteWaiting(ghosts) // before the batch queues one of them
	t.queueChanges(changes)
	t.queueDeltas(deltas)
	t.queueAudit(events)
	t.queueLines(written)
	t.queueEnding(keep, free)
	err := t.fillResults(ctx, results)
	t.queueActs(acts...)
	return results, err
}

var (
	endingTable = table[domain.Ending]{"ending", []column[domain.Ending]{
		text("workload_id", func(e *domain.Ending) *domain.WorkloadID { return &e.WorkloadID }),
		bigint("generation", func(e *domain.Ending) *int64 { return &e.Generation }),
		text("session_id", func(e *domain.Ending) *domain.SessionID { return &e.SessionID }),
		text("worker_id", func(e *domain.Ending) *domain.WorkerID { return &e.WorkerID }),
		text("customer_id", func(e *domain.Ending) *domain.CustomerID { return &e.CustomerID }),
		text("lane_id", func(e *domain.Ending) *domain.LaneID { return &e.Lane }),
		instant("assigned_at", func(e *domain.Ending) *time.Time { return &e.AssignedAt }),
		instant("ended_at", func(e *domain.Ending) *time.Time { return &e.EndedAt }),
		optional("found_at", func(e *domain.Ending) *time.Time { return &e.FoundAt }),
		devicesOf(func(e *domain.Ending) *[]domain.DeviceShare { return &e.Devices }),
	}}
	insertEnding = endingTable.insert() + " " + ofLiveSession("u") + " ON CONFLICT DO NOTHING"

	endingKey    = endingTable.as("ending", "workload_id", "generation", "session_id")
	deleteEnding = "DELETE FROM ending e USING " + endingKey.rows() +
		" WHERE e.workload_id = u.workload_id AND e.generation = u.generation AND e.session_id = u.session_id"
)

// ofLiveSession is a join that leaves out the ending runs (the alias) of sessions that have
// ended.
func ofLiveSession(alias string) string {
	return "JOIN worker_leases l ON l.worker_id = " + alias + ".worker_id AND l.session_id = " + alias +
		".session_id AND l.live"
}

// queueEnding queues the deletes and inserts of ending runs: of those that a batch has freed, and of
// those that it leaves. One that it has freed and kept afterwards is both.
func (t *tx) queueEnding(keep, free []domain.Ending) {
	writeRows(t, endingKey, deleteEnding, pointers(free))
	writeRows(t, &endingTable, insertEnding, pointers(keep))
}

// fillResults adds the result data to answers about workloads that had completed before. The row
// in workloads does not have it.
func (t *tx) fillResults(ctx context.Context, results []domain.Result) error {
	var ids []string
	for i := range results {
		if r := &results[i]; r.From == domain.StatusCompleted && r.State.Result == "" {
			ids = append(ids, string(r.WorkloadID))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := t.conn.Query(
		ctx, "SELECT workload_id, result FROM workload_results WHERE workload_id = ANY($1::text[])", ids,
	)
	if err != nil {
		return err
	}
	stored := map[string]domain.JSON{}
	var id string
	var result domain.JSON
	if _, err := pgx.ForEachRow(rows, []any{&id, &result}, func() error { stored[id] = result; return nil }); err != nil {
		return err
	}
	for i := range results {
		if r := &results[i]; r.State.Status == domain.StatusCompleted && r.State.Result == "" {
			r.State.Result = stored[string(r.WorkloadID)]
		}
	}
	return nil
}

// queueEpoch checks that epoch is the current leader's, and keeps it so until the transaction
// ends. Batches that assign take turns.
func (t *tx) queueEpoch(epoch int64, assigns bool) {
	lock := "SHARE"
	if assigns {
		lock = "NO KEY UPDATE"
	}
	t.queue("SELECT epoch FROM leader_lease WHERE holder <> '' FOR " + lock).Query(func(rows pgx.Rows) error {
		current, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		var leader int64 // nobody's
		if len(current) > 0 {
			leader = current[0]
		}
		return domain.CheckEpoch(epoch, leader)
	})
}

// queueTally reads what assignments are checked against. Limits and workers are locked, so that
// they hold at the commit. Counts are not: they grow by assignments only, which take turns.
func (t *tx) queueTally(y *domain.Tally, ts []domain.Transition) {
	y.MaxConcurrent, y.Running = map[domain.CustomerID]int{}, map[domain.CustomerID]int{}
	y.Held, y.Suspects = map[domain.SessionID]int{}, map[domain.SessionID]int{}
	y.FoundAt = map[domain.SessionID]time.Time{}
	var names, sessions, owners, unowned []string
	for i := range ts {
		if ts[i].Event != domain.EventAssign {
			continue
		}
		names, sessions = append(names, string(ts[i].WorkerID)), append(sessions, string(ts[i].SessionID))
		if c := ts[i].CustomerID; c != "" {
			owners = append(owners, string(c))
		} else {
			unowned = append(unowned, string(ts[i].WorkloadID))
		}
	}
	owners = slices.Compact(slices.Sorted(slices.Values(owners)))
	// The transition names the customer; if it does not, the workload does.
	const concerned = `(SELECT unnest($1::text[]) COLLATE "C" UNION SELECT w.customer_id FROM workloads w
    WHERE w.workload_id = ANY($2::text[]))`
	t.queue(selectCustomers+" WHERE c.customer_id IN "+concerned+" ORDER BY c.customer_id FOR SHARE OF c", owners,
		unowned).
		Query(func(rows pgx.Rows) error {
			cs, err := pgx.CollectRows(rows, customerTable.scan)
			for _, c := range cs {
				y.MaxConcurrent[c.ID] = c.Entitlements().MaxConcurrent
			}
			return err
		})
	t.queue(selectHolders+" WHERE worker_id = ANY($1::text[]) ORDER BY worker_id FOR SHARE", names).Query(workersOf(y))
	t.queue("SELECT h.customer_id, count(*) FROM held h WHERE h.customer_id IN "+concerned+" GROUP BY 1",
		owners, unowned).Query(counts(y.Running))
	t.queue(`SELECT session_id, count(*), count(*) FILTER (WHERE suspect), max(found) FROM (
  SELECT h.session_id, h.suspect_until > niyanta_now() AS suspect, NULL::timestamptz AS found FROM held h
    WHERE h.session_id = ANY($1::text[])
  UNION ALL SELECT e.session_id, false, e.found_at FROM ending e
   WHERE e.session_id = ANY($1::text[])) a GROUP BY 1`, sessions).
		Query(func(rows pgx.Rows) error {
			var session domain.SessionID
			var n, suspects int
			var found *time.Time
			_, err := pgx.ForEachRow(rows, []any{&session, &n, &suspects, &found}, func() error {
				y.Held[session], y.Suspects[session], y.FoundAt[session] = n, suspects, at(found)
				return nil
			})
			return err
		})
}

// queueReporters reads the workers that report on workloads, into y. It must follow the statement
// that locks the workloads: then it sees whether their sessions are over by now.
func (t *tx) queueReporters(y *domain.Tally, ts []domain.Transition) {
	var named, unnamed []string
	for i := range ts {
		switch {
		case !ts[i].Reported():
		case ts[i].WorkerID != "":
			named = append(named, string(ts[i].WorkerID))
		default:
			unnamed = append(unnamed, string(ts[i].WorkloadID))
		}
	}
	if len(named) > 0 {
		slices.Sort(named)
		t.queue(selectHolders+" WHERE worker_id = ANY($1::text[])", slices.Compact(named)).Query(workersOf(y))
	}
	if len(unnamed) > 0 {
		t.queue(selectHolders+" WHERE worker_id IN (SELECT h.worker_id FROM held h WHERE h.workload_id = ANY($1::text[]))",
			unnamed).Query(workersOf(y))
	}
}

// holderTable has the columns of a worker that a tally needs.
var (
	holderTable   = workerTable.as("workers", "worker_id", "session_id", "status", "slots")
	selectHolders = "SELECT " + holderTable.names("") + " FROM workers"
)

// workersOf reads workers into a tally.
func workersOf(y *domain.Tally) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		ws, err := pgx.CollectRows(rows, holderTable.scanInto)
		for _, w := range ws {
			y.Workers[w.ID] = w
		}
		return err
	}
}

// counts reads rows that are a key and a count.
func counts[K ~string](into map[K]int) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var key K
		var n int
		_, err := pgx.ForEachRow(rows, []any{&key, &n}, func() error { into[key] = n; return nil })
		return err
	}
}
