package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type workloads struct{ s *Store }

// admission is what a batch of submissions is checked against.
type admission struct {
	customers map[domain.CustomerID]*room
	uses      map[idempotencyKey]*domain.KeyUse
	owners    map[domain.WorkloadID]domain.CustomerID // of ids that exist already
	// restored are the checkpoints that new workloads continue from, by the new workload.
	restored map[domain.WorkloadID]*domain.Checkpoint
}

// room is what is known of one customer's queue.
type room struct {
	customer domain.Customer
	// bound is an upper bound of what waits. If exact is set, it was counted in this transaction.
	bound, unfinished int
	exact             bool
	admitted          int // by this batch
}

type idempotencyKey struct {
	customer domain.CustomerID
	key      string
}

var (
	keyUseTable = table[domain.KeyUse]{"idempotency_keys", []column[domain.KeyUse]{
		text("customer_id", func(u *domain.KeyUse) *domain.CustomerID { return &u.CustomerID }),
		text("idempotency_key", func(u *domain.KeyUse) *string { return &u.Key }),
		digest("digest", func(u *domain.KeyUse) *[32]byte { return &u.Digest }),
		digest("meaning", func(u *domain.KeyUse) *[32]byte { return &u.Meaning }),
		text("workload_id", func(u *domain.KeyUse) *domain.WorkloadID { return &u.WorkloadID }),
		instant("created_at", func(u *domain.KeyUse) *time.Time { return &u.At }),
	}}
	upsertKeyUses = keyUseTable.upsert("customer_id, idempotency_key")
	selectKeyUses = "SELECT " + keyUseTable.names("k") + ` FROM idempotency_keys k
 JOIN unnest($1::text[], $2::text[]) AS u(customer_id, idempotency_key) USING (customer_id, idempotency_key)`
)

// Submit implements ports.WorkloadStore.
func (w workloads) Submit(ctx context.Context, batch []domain.Submission) ([]ports.SubmitResult, error) {
	if len(batch) == 0 {
		return nil, ctx.Err()
	}
	var lanes []domain.Lane
	var now time.Time
	results, err := inTx(ctx, w.s, w.s.pool, func(ctx context.Context, t *tx) ([]ports.SubmitResult, error) {
		a := t.queueAdmission(batch)
		if err := t.read(ctx); err != nil {
			return nil, err
		}
		results := make([]ports.SubmitResult, len(batch))
		var stored []*domain.Workload
		var events []domain.AuditEvent
		var acts []domain.AdminEvent
		var uses []domain.KeyUse
		var copies []restoredCheckpoint
		deltas := domain.Deltas{}
		for i := range batch {
			sub := &batch[i]
			var err error
			if results[i], err = t.admit(ctx, a, sub); err != nil {
				return nil, err
			}
			if results[i].Status != domain.Admitted {
				continue
			}
			restored := a.restored[sub.ID]
			wl, created := domain.NewWorkload(*sub, restored, t.now)
			results[i].Workload = wl.Clone()
			if restored != nil {
				copies = append(copies, restoredCheckpoint{restored.RestoredFor(sub.ID, t.now), *restored})
			}
			stored = append(stored, &results[i].Workload)
			t.wrote = append(t.wrote, sub.CustomerID)
			deltas.Add(domain.CountChange(&domain.State{}, &wl, domain.Consumption{}))
			events, acts = append(events, created), append(acts, sub.Act(&wl, t.now))
			if sub.IdempotencyKey != "" {
				uses = append(uses, sub.Use(t.now))
			}
		}
		now, lanes = t.now, w.s.lanes.unknown(stored, t.now)
		t.queueSubmitted(stored, lanes)
		t.queueDeltas(deltas)
		t.queueAudit(events)
		writeRows(t, &keyUseTable, upsertKeyUses, pointers(uses))
		writeRows(t, &restoredTable, copyCheckpoints, pointers(copies))
		t.queueBounds(a)
		t.queueActs(acts...)
		return results, t.commit(ctx)
	})
	if err != nil {
		return nil, err
	}
	w.s.lanes.touch(lanes, now)
	return results, w.fillDuplicates(ctx, results)
}

// queueAdmission locks the queue bounds of the customers, and reads what submissions may collide
// with.
func (t *tx) queueAdmission(batch []domain.Submission) *admission {
	a := &admission{customers: map[domain.CustomerID]*room{}, uses: map[idempotencyKey]*domain.KeyUse{},
		owners: map[domain.WorkloadID]domain.CustomerID{}, restored: map[domain.WorkloadID]*domain.Checkpoint{}}
	ids, customers := make([]string, len(batch)), make([]string, len(batch))
	var keys, keyOwners []string
	for i := range batch {
		ids[i], customers[i] = string(batch[i].ID), string(batch[i].CustomerID)
		if k := batch[i].IdempotencyKey; k != "" {
			keys, keyOwners = append(keys, k), append(keyOwners, customers[i])
		}
	}
	t.queue("SELECT "+customerTable.names("c")+`, b.bound FROM customers c JOIN queue_bounds b USING (customer_id)
 WHERE c.customer_id = ANY($1::text[]) ORDER BY c.customer_id FOR SHARE OF c FOR NO KEY UPDATE OF b`, customers).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.CustomerID, error) {
				r := &room{}
				c := &r.customer
				err := row.Scan(customerTable.targets(c, &r.bound)...)
				a.customers[c.ID] = r
				return c.ID, err
			})
			return err
		})
	if len(keys) > 0 {
		t.queue(selectKeyUses, keyOwners, keys).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, keyUseTable.scanInto)
			for _, u := range found {
				a.uses[idempotencyKey{u.CustomerID, u.Key}] = u
			}
			return err
		})
	}
	t.queueRestored(batch, a.restored)
	t.queue("SELECT workload_id, customer_id FROM workloads WHERE workload_id = ANY($1::text[])",
		ids).Query(func(rows pgx.Rows) error {
		var id domain.WorkloadID
		var owner domain.CustomerID
		_, err := pgx.ForEachRow(rows, []any{&id, &owner}, func() error { a.owners[id] = owner; return nil })
		return err
	})
	return a
}

// admit decides on one submission and counts it for the next ones. Of a workload that the submission
// repeats, the result has only the id.
func (t *tx) admit(ctx context.Context, a *admission, sub *domain.Submission) (res ports.SubmitResult, err error) {
	key := idempotencyKey{sub.CustomerID, sub.IdempotencyKey}
	known := domain.KnownWorkloads{Owner: a.owners[sub.ID], Use: a.uses[key], Restored: a.restored[sub.ID]}
	r := a.customers[sub.CustomerID]
	if r != nil {
		known.Customer, known.Queued = &r.customer, r.bound
	}
	res.Status, res.Workload.ID = sub.Admit(known, t.now)
	if res.Status == domain.AdmissionQueueFull && !r.exact {
		if err := t.count(ctx, r); err != nil {
			return res, err
		}
		known.Queued = r.bound
		res.Status, res.Workload.ID = sub.Admit(known, t.now)
	}
	switch res.Status {
	case domain.AdmissionQueueFull:
		res.Queue = known.Queue()
	case domain.Admitted:
		r.bound++
		r.admitted++
		a.owners[sub.ID] = sub.CustomerID
		if sub.IdempotencyKey != "" {
			a.uses[key] = new(sub.Use(t.now))
		}
	default:
	}
	return res, nil
}

// count replaces the bound with what really waits. unfinished counts the workloads that may wait
// again without a submission.
func (t *tx) count(ctx context.Context, r *room) error {
	u, err := t.usage(ctx, r.customer.ID)
	if err != nil {
		return err
	}
	// Workloads that this transaction admitted before are not counted yet.
	r.bound, r.unfinished, r.exact = u.Queued+r.admitted, u.Running+u.Paused, true
	return nil
}

// queueBounds queues the new bounds, for the next submissions.
func (t *tx) queueBounds(a *admission) {
	var ids []string
	var bounds []int64
	for id, r := range a.customers {
		if r.admitted > 0 || r.exact {
			ids, bounds = append(ids, string(id)), append(bounds, int64(r.bound+r.unfinished))
		}
	}
	if len(ids) > 0 {
		t.queue(`UPDATE queue_bounds b SET bound = u.bound FROM unnest($1::text[], $2::bigint[]) AS u(customer_id, bound)
 WHERE b.customer_id = u.customer_id`, ids, bounds)
	}
}

// fillDuplicates reads the workloads that were submitted before.
func (w workloads) fillDuplicates(ctx context.Context, results []ports.SubmitResult) error {
	var ids []domain.WorkloadID
	for _, r := range results {
		if r.Status == domain.AdmittedBefore {
			ids = append(ids, r.Workload.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := w.GetAny(ctx, ids...)
	if err != nil {
		return err
	}
	byID := map[domain.WorkloadID]domain.Workload{}
	for _, f := range found {
		byID[f.ID] = f
	}
	for i := range results {
		if results[i].Status == domain.AdmittedBefore {
			results[i].Workload = byID[results[i].Workload.ID]
		}
	}
	return nil
}

// queueSubmitted queues the inserts of new workloads.
func (t *tx) queueSubmitted(ws []*domain.Workload, lanes []domain.Lane) {
	t.queueLanes(lanes)
	writeRows(t, submittedTable, insertWorkloads, ws)
	writeRows(t, &newSpecTable, insertSpecs, ws)
	t.queueDemand(ws)
	t.insertQueued(ws)
}
