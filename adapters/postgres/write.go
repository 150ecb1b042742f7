package postgres

import (
	"encoding/json"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// change is a workload before and after a batch.
type change struct {
	before domain.State
	w      *domain.Workload
}

// updateWorkloads sets the mutable columns of a set of workloads. Arrays stand in the order of stateArrays.
const updateWorkloads = `UPDATE workloads w SET status = u.status, reason = u.reason, worker_id = u.worker_id, session_id = u.session_id,
 generation = u.generation, retry_count = u.retry_count, redistribution_count = u.redistribution_count, loss_streak = u.loss_streak,
 progress_percent = u.progress_percent, progress_message = u.progress_message, checkpoint_sequence = u.checkpoint_sequence,
 checkpoint_generation = u.checkpoint_generation, pause_requested = u.pause_requested, failure_type = u.failure_type,
 failure_message = u.failure_message, failure_permanent = u.failure_permanent, not_before = u.not_before, deadline = u.deadline,
 scheduled_at = u.scheduled_at, started_at = u.started_at, finished_at = u.finished_at, updated_at = u.updated_at,
 started_generation = u.started_generation, ended_generation = u.ended_generation, ended_event = u.ended_event, resumed = u.resumed,
 declines = u.declines::jsonb, deaths = u.deaths::jsonb, suspect_since = u.suspect_since
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::integer[], $9::integer[],
 $10::double precision[], $11::text[], $12::bigint[], $13::bigint[], $14::boolean[], $15::text[], $16::text[], $17::boolean[],
 $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[],
 $24::bigint[], $25::bigint[], $26::text[], $27::boolean[], $28::text[], $29::text[], $30::timestamptz[])
 AS u(workload_id, status, reason, worker_id, session_id, generation, retry_count, redistribution_count, loss_streak,
 progress_percent, progress_message, checkpoint_sequence, checkpoint_generation, pause_requested, failure_type, failure_message,
 failure_permanent, not_before, deadline, scheduled_at, started_at, finished_at, updated_at, started_generation, ended_generation,
 ended_event, resumed, declines, deaths, suspect_since)
WHERE w.workload_id = u.workload_id`

func stateArrays(cs []change) []any {
	type c = change
	return []any{
		each(cs, func(c c) string { return string(c.w.ID) }),
		each(cs, func(c c) string { return string(c.w.Status) }),
		each(cs, func(c c) string { return c.w.Reason }),
		each(cs, func(c c) string { return string(c.w.WorkerID) }),
		each(cs, func(c c) string { return string(c.w.SessionID) }),
		each(cs, func(c c) int64 { return c.w.Generation }),
		each(cs, func(c c) int64 { return int64(c.w.RetryCount) }),
		each(cs, func(c c) int64 { return int64(c.w.RedistributionCount) }),
		each(cs, func(c c) int64 { return int64(c.w.LossStreak) }),
		each(cs, func(c c) float64 { return c.w.ProgressPercent }),
		each(cs, func(c c) string { return c.w.ProgressMessage }),
		each(cs, func(c c) int64 { return c.w.CheckpointSequence }),
		each(cs, func(c c) int64 { return c.w.CheckpointGeneration }),
		each(cs, func(c c) bool { return c.w.PauseRequested }),
		each(cs, func(c c) *string { return failure(c.w, func(f *domain.Failure) string { return f.Type }) }),
		each(cs, func(c c) *string { return failure(c.w, func(f *domain.Failure) string { return f.Message }) }),
		each(cs, func(c c) *bool { return failure(c.w, func(f *domain.Failure) bool { return f.Permanent }) }),
		each(cs, func(c c) *time.Time { return null(c.w.NotBefore) }),
		each(cs, func(c c) *time.Time { return null(c.w.Deadline) }),
		each(cs, func(c c) *time.Time { return null(c.w.ScheduledAt) }),
		each(cs, func(c c) *time.Time { return null(c.w.StartedAt) }),
		each(cs, func(c c) *time.Time { return null(c.w.FinishedAt) }),
		each(cs, func(c c) time.Time { return c.w.UpdatedAt }),
		each(cs, func(c c) int64 { return c.w.StartedGeneration }),
		each(cs, func(c c) int64 { return c.w.EndedGeneration }),
		each(cs, func(c c) string { return string(c.w.EndedEvent) }),
		each(cs, func(c c) bool { return c.w.Resumed }),
		each(cs, func(c c) *string { return declinesOf(c.w) }),
		each(cs, func(c c) *string { return encodeList(c.w.Deaths) }),
		each(cs, func(c c) *time.Time { return null(c.w.SuspectSince) }),
	}
}

// declinesOf is the nullable JSON column of the workers that gave a workload back.
func declinesOf(w *domain.Workload) *string { return encodeList(w.Declines) }

// encodeList is a nullable JSON column, NULL for an empty list.
func encodeList[T any](l []T) *string {
	if len(l) == 0 {
		return nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil // names, numbers and times of this century always can be written
	}
	return new(string(b))
}

func failure[T any](w *domain.Workload, get func(*domain.Failure) T) *T {
	if w.Failure == nil {
		return nil
	}
	v := get(w.Failure)
	return &v
}

// queueChanges queues the writes that bring the tables from before to after.
func (t *tx) queueChanges(cs []change) {
	if len(cs) == 0 {
		return
	}
	t.queue(updateWorkloads, stateArrays(cs)...)
	var unqueued, queued, undelayed, unheld, held, paused, unpaused, results []*domain.Workload
	for _, c := range cs {
		b, w := &c.before, c.w
		staysQueued := b.Status.Waiting() && w.Status.Waiting() && sameQueue(b, &w.State)
		staysHeld := b.Status.Held() && w.Status.Held() && sameHold(b, &w.State)
		if b.Status.Waiting() && !staysQueued {
			unqueued = append(unqueued, w)
			if !b.NotBefore.IsZero() {
				undelayed = append(undelayed, w)
			}
		}
		if w.Status.Waiting() && !staysQueued {
			queued = append(queued, w)
		}
		switch {
		case w.Status.Held() && !staysHeld:
			held = append(held, w)
		case b.Status.Held() && !w.Status.Held():
			unheld = append(unheld, w)
		}
		if b.Status != w.Status && b.Status == domain.StatusPaused {
			unpaused = append(unpaused, w)
		}
		if b.Status != w.Status && w.Status == domain.StatusPaused {
			paused = append(paused, w)
		}
		if w.Result != b.Result {
			results = append(results, w)
		}
	}
	t.deleteWaiting(unqueued)
	t.deleteByID("delayed", undelayed)
	t.insertQueued(queued)
	t.deleteByID("held", unheld)
	t.upsertHeld(held)
	t.deleteByID("paused", unpaused)
	if len(paused) > 0 {
		t.queue(`INSERT INTO paused (workload_id, customer_id) SELECT * FROM unnest($1::text[], $2::text[])`,
			each(paused, idOf), each(paused, func(w *domain.Workload) string { return string(w.CustomerID) }))
	}
	if len(results) > 0 {
		t.queue(`INSERT INTO workload_results (workload_id, result) SELECT * FROM unnest($1::text[], $2::text[])
 ON CONFLICT (workload_id) DO UPDATE SET result = excluded.result`,
			each(results, idOf), each(results, func(w *domain.Workload) string { return string(w.Result) }))
	}
}

func idOf(w *domain.Workload) string { return string(w.ID) }

func sameQueue(a, b *domain.State) bool {
	return a.Generation == b.Generation && a.NotBefore.Equal(b.NotBefore)
}

func sameHold(a, b *domain.State) bool {
	return a.SessionID == b.SessionID && a.Generation == b.Generation && a.Status == b.Status && a.PauseRequested == b.PauseRequested &&
		a.Deadline.Equal(b.Deadline) && a.SuspectUntil().Equal(b.SuspectUntil())
}

func (t *tx) deleteByID(table string, ws []*domain.Workload) {
	if len(ws) > 0 {
		t.queue("DELETE FROM "+table+" WHERE workload_id = ANY($1::text[])", each(ws, idOf))
	}
}

// deleteWaiting finds the rows by their whole key, which never changes while a workload waits.
func (t *tx) deleteWaiting(ws []*domain.Workload) {
	if len(ws) == 0 {
		return
	}
	t.queue(`DELETE FROM waiting q USING unnest($1::text[], $2::timestamptz[], $3::text[]) AS u(lane_id, queue_at, workload_id)
 WHERE q.lane_id = u.lane_id AND q.queue_at = u.queue_at AND q.workload_id = u.workload_id`,
		each(ws, laneOf), each(ws, func(w *domain.Workload) time.Time { return w.QueueAt }), each(ws, idOf))
}

func laneOf(w *domain.Workload) string { return string(w.Lane) }

// insertQueued files workloads under what may be placed now or later.
func (t *tx) insertQueued(ws []*domain.Workload) {
	var now, later []*domain.Workload
	for _, w := range ws {
		if w.NotBefore.After(t.now) {
			later = append(later, w)
		} else {
			now = append(now, w)
		}
	}
	arrays := func(ws []*domain.Workload) []any {
		return []any{
			each(ws, idOf), each(ws, laneOf), each(ws, func(w *domain.Workload) time.Time { return w.QueueAt }),
			each(ws, func(w *domain.Workload) int64 { return w.Generation }), each(ws, declinesOf),
			each(ws, func(w *domain.Workload) *time.Time { return null(w.SuspectSince) }),
		}
	}
	if len(now) > 0 {
		t.queue(`INSERT INTO waiting (workload_id, lane_id, queue_at, generation, declines, suspect_since)
 SELECT u.id, u.lane, u.at, u.generation, u.declines::jsonb, u.suspect
 FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::timestamptz[]) AS u(id, lane, at, generation, declines, suspect)`, arrays(now)...)
	}
	if len(later) > 0 {
		t.queue(`INSERT INTO delayed (workload_id, lane_id, queue_at, generation, declines, suspect_since, not_before)
 SELECT u.id, u.lane, u.at, u.generation, u.declines::jsonb, u.suspect, u.not_before
 FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::timestamptz[], $7::timestamptz[])
  AS u(id, lane, at, generation, declines, suspect, not_before)`,
			append(arrays(later), each(later, func(w *domain.Workload) time.Time { return w.NotBefore }))...)
	}
}

func (t *tx) upsertHeld(ws []*domain.Workload) {
	if len(ws) == 0 {
		return
	}
	t.queue(`INSERT INTO held (workload_id, session_id, worker_id, customer_id, lane_id, generation, running, pause_requested, scheduled_at, deadline, suspect_until)
 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::boolean[], $8::boolean[],
  $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
 ON CONFLICT (workload_id) DO UPDATE SET session_id = excluded.session_id, worker_id = excluded.worker_id, generation = excluded.generation,
  running = excluded.running, pause_requested = excluded.pause_requested, scheduled_at = excluded.scheduled_at, deadline = excluded.deadline,
  suspect_until = excluded.suspect_until`,
		each(ws, idOf),
		each(ws, func(w *domain.Workload) string { return string(w.SessionID) }),
		each(ws, func(w *domain.Workload) string { return string(w.WorkerID) }),
		each(ws, func(w *domain.Workload) string { return string(w.CustomerID) }),
		each(ws, laneOf),
		each(ws, func(w *domain.Workload) int64 { return w.Generation }),
		each(ws, func(w *domain.Workload) bool { return w.Status == domain.StatusRunning }),
		each(ws, func(w *domain.Workload) bool { return w.PauseRequested }),
		each(ws, func(w *domain.Workload) time.Time { return w.ScheduledAt }),
		each(ws, func(w *domain.Workload) *time.Time { return null(w.Deadline) }),
		each(ws, func(w *domain.Workload) *time.Time { return null(w.SuspectUntil()) }),
	)
}
