package postgres

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// hotColumns are the columns of workloads, in the order in which scanHot reads them.
const hotColumns = `w.workload_id, w.customer_id, w.lane_id, w.workload_type, w.config_id, w.priority, w.max_retries, w.timeout_us,
 w.backoff_initial_us, w.backoff_factor, w.backoff_max_us,
 w.created_at, w.queue_at, w.status, w.reason, w.worker_id, w.session_id, w.generation, w.retry_count, w.redistribution_count,
 w.loss_streak, w.progress_percent, w.progress_message, w.checkpoint_sequence, w.checkpoint_generation, w.pause_requested,
 w.failure_type, w.failure_message, w.failure_permanent, w.not_before, w.deadline, w.scheduled_at, w.started_at, w.finished_at,
 w.updated_at, w.started_generation, w.ended_generation, w.ended_event, w.resumed, w.declines, w.deaths, w.suspect_since`

// fullColumns adds what stands beside the hot row.
const fullColumns = hotColumns + `, s.input, s.labels, s.affinity, s.config, s.cpu_cores, s.memory_mb, s.disk_mb,
 s.checkpoint_interval_us, s.run_at, coalesce(r.result, '')`

const fullTables = `workloads w JOIN workload_specs s USING (workload_id) LEFT JOIN workload_results r USING (workload_id)`

// hotTargets are where hotColumns go; after fixes what needs more than assignment.
func hotTargets(w *domain.Workload) (targets []any, after func()) {
	var timeout, backoffInitial, backoffMax int64
	var failureType, failureMessage *string
	var failurePermanent *bool
	var notBefore, due, scheduled, started, finished, suspect *time.Time
	targets = []any{
		&w.ID, &w.CustomerID, &w.Lane, &w.Type, &w.ConfigID, &w.Priority, &w.Run.MaxRetries, &timeout,
		&backoffInitial, &w.Run.Backoff.Factor, &backoffMax,
		&w.CreatedAt, &w.QueueAt, &w.Status, &w.Reason, &w.WorkerID, &w.SessionID, &w.Generation, &w.RetryCount, &w.RedistributionCount,
		&w.LossStreak, &w.ProgressPercent, &w.ProgressMessage, &w.CheckpointSequence, &w.CheckpointGeneration, &w.PauseRequested,
		&failureType, &failureMessage, &failurePermanent, &notBefore, &due, &scheduled, &started, &finished,
		&w.UpdatedAt, &w.StartedGeneration, &w.EndedGeneration, &w.EndedEvent, &w.Resumed, (*jsonList[domain.Decline])(&w.Declines),
		(*jsonList[domain.SessionID])(&w.Deaths), &suspect,
	}
	return targets, func() {
		w.SuspectSince = at(suspect)
		w.Run.Timeout, w.Run.Backoff.Initial, w.Run.Backoff.Max = duration(timeout), duration(backoffInitial), duration(backoffMax)
		if failureType != nil {
			w.Failure = &domain.Failure{Type: *failureType, Message: *failureMessage, Permanent: *failurePermanent}
		}
		w.NotBefore, w.Deadline, w.ScheduledAt, w.StartedAt, w.FinishedAt = at(notBefore), at(due), at(scheduled), at(started), at(finished)
		w.CreatedAt, w.QueueAt, w.UpdatedAt = w.CreatedAt.UTC(), w.QueueAt.UTC(), w.UpdatedAt.UTC()
	}
}

// scanHot reads what transitions look at.
func scanHot(row pgx.CollectableRow) (*domain.Workload, error) {
	w := &domain.Workload{}
	targets, after := hotTargets(w)
	if err := row.Scan(targets...); err != nil {
		return nil, err
	}
	after()
	return w, nil
}

// scanFull reads all of a workload.
func scanFull(row pgx.CollectableRow) (domain.Workload, error) {
	var w domain.Workload
	var labels, affinity []byte
	var interval int64
	var runAt *time.Time
	targets, after := hotTargets(&w)
	targets = append(targets, &w.Input, &labels, &affinity, &w.Run.Config, &w.Run.Resources.CPUCores, &w.Run.Resources.MemoryMB,
		&w.Run.Resources.DiskMB, &interval, &runAt, &w.Result)
	if err := row.Scan(targets...); err != nil {
		return w, err
	}
	after()
	w.Run.CheckpointInterval, w.RunAt = duration(interval), at(runAt)
	if err := fromJSON(labels, &w.Labels); err != nil {
		return w, err
	}
	return w, fromJSON(affinity, &w.Affinity)
}

// jsonList reads a nullable JSON column.
type jsonList[T any] []T

// Scan implements sql.Scanner.
func (l *jsonList[T]) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return json.Unmarshal([]byte(v), (*[]T)(l))
	case []byte:
		return json.Unmarshal(v, (*[]T)(l))
	}
	*l = nil
	return nil
}

func duration(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// toJSON is a nullable JSON column, NULL for a nil map or zero rules.
func toJSON(v any, none bool) (*string, error) {
	if none {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}

func fromJSON(b []byte, v any) error {
	if b == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}
