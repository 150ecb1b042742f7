package postgres

import (
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// change is a workload with its state before a batch.
type change struct {
	before domain.State
	w      *domain.Workload
}

// queueChanges queues the writes that bring the tables from the states before to those after.
func (t *tx) queueChanges(cs []change) {
	if len(cs) == 0 {
		return
	}
	var all, most []*domain.Workload
	for _, c := range cs {
		if usual(&c.before, &c.w.State) {
			most = append(most, c.w)
		} else {
			all = append(all, c.w)
		}
	}
	writeRows(t, usualTable, updateUsual, most)
	writeRows(t, changedTable, updateWorkloads, all)
	var unqueued, queued, undelayed, unheld, held, reheld, paused, unpaused, results, finished []*domain.Workload
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
		case w.Status.Held() && !b.Status.Held():
			held = append(held, w)
		case w.Status.Held() && !staysHeld:
			reheld = append(reheld, w)
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
		if w.Status.Final() && !b.Status.Final() {
			finished = append(finished, w)
		}
	}
	// Before those of waiting: this waits for a promotion under way, and the next statement sees what that
	// has moved.
	t.deleteByID("delayed", undelayed)
	t.deleteWaiting(unqueued)
	t.insertQueued(queued)
	t.deleteByID("held", unheld)
	writeRows(t, heldTable, insertHeld, held)
	writeRows(t, heldTable, updateHeld, reheld)
	t.deleteByID("paused", unpaused)
	writeRows(t, pausedTable, insertPaused, paused)
	writeRows(t, &resultTable, insertResults, results)
	writeRows(t, finishedTable, insertFinished, finished)
}

// usual reports whether the states agree in all columns that updateUsual does not write.
func usual(a, b *domain.State) bool {
	return a.NotBefore.Equal(b.NotBefore) && a.RetryCount == b.RetryCount &&
		a.RedistributionCount == b.RedistributionCount && a.LossStreak == b.LossStreak &&
		slices.Equal(a.Deaths, b.Deaths) && a.SuspectSince.Equal(b.SuspectSince) &&
		a.ProgressPercent == b.ProgressPercent && a.ProgressMessage == b.ProgressMessage &&
		a.CheckpointSequence == b.CheckpointSequence && a.CheckpointGeneration == b.CheckpointGeneration &&
		a.PauseRequested == b.PauseRequested && sameFailure(a.Failure, b.Failure) &&
		slices.Equal(a.Declines, b.Declines) && a.Resumed == b.Resumed && a.CancelRequest == b.CancelRequest
}

func sameFailure(a, b *domain.Failure) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// writeRows queues a statement that writes rows, if there are any.
func writeRows[R any](t *tx, to *table[R], sql string, rows []*R) {
	if len(rows) > 0 {
		t.queue(sql, to.args(rows)...)
	}
}

func idOf(w *domain.Workload) string { return string(w.ID) }

func sameQueue(a, b *domain.State) bool {
	return a.Generation == b.Generation && a.NotBefore.Equal(b.NotBefore)
}

func sameHold(a, b *domain.State) bool {
	return a.SessionID == b.SessionID && a.Generation == b.Generation && a.Status == b.Status &&
		a.PauseRequested == b.PauseRequested &&
		a.Deadline.Equal(b.Deadline) && a.SuspectUntil().Equal(b.SuspectUntil())
}

func (t *tx) deleteByID(table string, ws []*domain.Workload) {
	if len(ws) > 0 {
		t.queue("DELETE FROM "+table+" WHERE workload_id = ANY($1::text[])", each(ws, idOf))
	}
}

// deleteWaiting deletes by the whole primary key, which does not change while a workload waits.
func (t *tx) deleteWaiting(ws []*domain.Workload) {
	if len(ws) == 0 {
		return
	}
	t.queue(`DELETE FROM waiting q USING unnest($1::text[], $2::timestamptz[], $3::text[]) AS u(lane_id, queue_at,
    workload_id)
 WHERE q.lane_id = u.lane_id AND q.queue_at = u.queue_at AND q.workload_id = u.workload_id`,
		each(ws, laneOf), each(ws, func(w *domain.Workload) time.Time { return w.QueueAt }), each(ws, idOf))
}

func laneOf(w *domain.Workload) string { return string(w.Lane) }

// insertQueued inserts workloads into waiting, or into delayed if they are not due yet.
func (t *tx) insertQueued(ws []*domain.Workload) {
	var now, later []*domain.Workload
	for _, w := range ws {
		if w.NotBefore.After(t.now) {
			later = append(later, w)
		} else {
			now = append(now, w)
		}
	}
	writeRows(t, waitingTable, insertWaiting, now)
	writeRows(t, delayedTable, insertDelayed, later)
}
