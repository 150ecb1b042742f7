package postgres

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type (
	workload = domain.Workload
	spec     = domain.Spec
	state    = domain.State
)

// anyTransition writes the columns that most transitions change. usual compares the others.
const anyTransition = byTransition | byUsual

// specColumns never change after the submission; transitions change stateColumns. A new field of
// domain.State takes one line here. If it has no kind, it takes one in usual as well.
var (
	specColumns = []column[spec]{
		text("customer_id", func(s *spec) *domain.CustomerID { return &s.CustomerID }),
		text("lane_id", func(s *spec) *domain.LaneID { return &s.Lane }),
		text("workload_type", func(s *spec) *string { return &s.Type }),
		text("config_id", func(s *spec) *domain.ConfigID { return &s.ConfigID }),
		integer("priority", func(s *spec) *int { return &s.Priority }),
		integer("max_retries", func(s *spec) *int { return &s.Run.MaxRetries }),
		micros("timeout_us", func(s *spec) *time.Duration { return &s.Run.Timeout }),
		micros("backoff_initial_us", func(s *spec) *time.Duration { return &s.Run.Backoff.Initial }),
		float("backoff_factor", func(s *spec) *float64 { return &s.Run.Backoff.Factor }),
		micros("backoff_max_us", func(s *spec) *time.Duration { return &s.Run.Backoff.Max }),
		instant("created_at", func(s *spec) *time.Time { return &s.CreatedAt }),
		instant("queue_at", func(s *spec) *time.Time { return &s.QueueAt }),
		sparse(text("request_id", func(s *spec) *string { return &s.Origin.RequestID }), "''"),
		sparse(span("traceparent", func(s *spec) *domain.SpanRef { return &s.Origin.Trace }), "''"),
	}
	stateColumns = []column[state]{
		text("status", func(s *state) *domain.Status { return &s.Status }).by(bySubmission | anyTransition),
		optional("not_before", func(s *state) *time.Time { return &s.NotBefore }).by(bySubmission | byTransition),
		instant("updated_at", func(s *state) *time.Time { return &s.UpdatedAt }).by(bySubmission | anyTransition),
		text("reason", func(s *state) *string { return &s.Reason }).by(anyTransition),
		text("worker_id", func(s *state) *domain.WorkerID { return &s.WorkerID }).by(anyTransition),
		text("session_id", func(s *state) *domain.SessionID { return &s.SessionID }).by(anyTransition),
		devicesOf(func(s *state) *[]domain.DeviceShare { return &s.Devices }).by(anyTransition),
		text("last_worker_id", func(s *state) *domain.WorkerID { return &s.LastWorkerID }).by(anyTransition),
		bigint("generation", func(s *state) *int64 { return &s.Generation }).by(anyTransition),
		integer("retry_count", func(s *state) *int { return &s.RetryCount }),
		integer("redistribution_count", func(s *state) *int { return &s.RedistributionCount }),
		integer("loss_streak", func(s *state) *int { return &s.LossStreak }),
		list("deaths", func(s *state) *[]domain.SessionID { return &s.Deaths }),
		optional("suspect_since", func(s *state) *time.Time { return &s.SuspectSince }),
		float("progress_percent", func(s *state) *float64 { return &s.ProgressPercent }),
		text("progress_message", func(s *state) *string { return &s.ProgressMessage }),
		bigint("checkpoint_sequence", func(s *state) *int64 { return &s.CheckpointSequence }).by(bySubmission | byTransition),
		bigint("checkpoint_generation", func(s *state) *int64 { return &s.CheckpointGeneration }),
		boolean("pause_requested", func(s *state) *bool { return &s.PauseRequested }),
		failureColumn("failure_type", "text", func(f *domain.Failure) *string { return &f.Type }),
		failureColumn("failure_message", "text", func(f *domain.Failure) *string { return &f.Message }),
		failureColumn("failure_permanent", "boolean", func(f *domain.Failure) *bool { return &f.Permanent }),
		list("declines", func(s *state) *[]domain.Decline { return &s.Declines }),
		optional("deadline", func(s *state) *time.Time { return &s.Deadline }).by(anyTransition),
		optional("scheduled_at", func(s *state) *time.Time { return &s.ScheduledAt }).by(anyTransition),
		optional("started_at", func(s *state) *time.Time { return &s.StartedAt }).by(anyTransition),
		optional("finished_at", func(s *state) *time.Time { return &s.FinishedAt }).by(anyTransition),
		micros("executed_us", func(s *state) *time.Duration { return &s.Executed }).by(anyTransition),
		bigint("started_generation", func(s *state) *int64 { return &s.StartedGeneration }).by(anyTransition),
		bigint("ended_generation", func(s *state) *int64 { return &s.EndedGeneration }).by(anyTransition),
		text("ended_event", func(s *state) *domain.Event { return &s.EndedEvent }).by(anyTransition),
		boolean("resumed", func(s *state) *bool { return &s.Resumed }),
		text("cancel_request", func(s *state) *string { return &s.CancelRequest }),
	}
	workloadID = text("workload_id", func(w *workload) *domain.WorkloadID { return &w.ID })
	// headTimeout is the column of Candidate.Timeout, NULL for 0.
	headTimeout = column[workload]{
		name: "timeout_us", pgType: "bigint", stored: "nullif(%s, 0)",
		array: func(rows []*workload) any {
			return each(rows, func(w *workload) int64 { return w.HeadTimeout().Microseconds() })
		},
	}
)

// A workload has rows in several tables. workloads has the columns that transitions read and
// write. What waits, is delayed, runs, is paused or has finished has a row in the narrow table of
// that name. What is large or never changes stands in workload_specs and workload_results.
var (
	workloadTable = table[workload]{"workloads", join(
		[]column[workload]{workloadID.by(bySubmission | anyTransition)},
		written(bySubmission, part(func(w *workload) *spec { return &w.Spec }, specColumns)),
		written(byTransition, part(func(w *workload) *state { return &w.State }, stateColumns)),
	)}
	submittedTable = workloadTable.writtenBy(bySubmission)
	changedTable   = workloadTable.writtenBy(byTransition)
	usualTable     = workloadTable.writtenBy(byUsual)

	specTable = table[workload]{"workload_specs", join([]column[workload]{
		workloadID,
		text("input", func(w *workload) *domain.JSON { return &w.Input }),
		document("labels", func(w *workload) *map[string]string { return &w.Labels },
			func(l map[string]string) bool { return l == nil }),
		document("affinity", func(w *workload) *domain.Affinity { return &w.Affinity }, domain.Affinity.IsZero),
		text("config", func(w *workload) *domain.JSON { return &w.Run.Config }),
		micros("checkpoint_interval_us", func(w *workload) *time.Duration { return &w.Run.CheckpointInterval }),
		optional("run_at", func(w *workload) *time.Time { return &w.RunAt }),
		text("retry_of", func(w *workload) *domain.WorkloadID { return &w.RetryOf }),
		reserved(func(w *workload) *domain.Resources { return &w.Run.Resources }),
	}, part(func(w *workload) *domain.Amounts { return &w.Run.Limits }, amountColumns))}

	newSpecTable = table[workload]{"workload_specs", join(specTable.columns, []column[workload]{{
		name: "label_terms", pgType: "text", stored: "%s::bigint[]",
		array: func(rows []*workload) any { return each(rows, labelTermsOf) },
	}})}

	resultTable = table[workload]{"workload_results", []column[workload]{
		workloadID,
		text("result", func(w *workload) *domain.JSON { return &w.Result }),
	}}

	waitingTable = &table[workload]{"waiting", append(workloadTable.as("waiting", "workload_id", "lane_id", "queue_at",
		"generation", "declines", "suspect_since").columns, headTimeout)}
	delayedTable = &table[workload]{"delayed", append(workloadTable.as("delayed", "workload_id", "lane_id", "queue_at",
		"generation", "declines", "suspect_since", "not_before").columns, headTimeout)}
	pausedTable = workloadTable.as("paused", "workload_id", "customer_id")
	// finishedTable has the workloads that have finished. Their rows never change.
	finishedTable = workloadTable.as(
		"finished", "workload_id", "customer_id", "workload_type", "created_at", "status", "finished_at",
	)
	heldTable = &table[workload]{"held", join(
		workloadTable.as("held", "workload_id", "session_id", "worker_id", "customer_id", "lane_id", "generation",
			"pause_requested", "scheduled_at", "deadline", "devices").columns,
		[]column[workload]{
			derived("running", "boolean", func(w *workload) bool { return w.Status == domain.StatusRunning }),
			derived("suspect_until", "timestamptz", func(w *workload) *time.Time { return null(w.SuspectUntil()) }),
			derived("ends_by", "timestamptz", func(w *workload) *time.Time {
				if !w.Lane.Shaped() {
					return nil
				}
				return null(w.EndsBy())
			}),
		})}

	// assignedRow has what the command to run a workload needs.
	assignedRow = table[workload]{"", join(workloadTable.columns, specTable.without("workload_id").columns)}
	// wholeRow is a workload as it is read from wholeTables.
	wholeRow = table[workload]{"", join(workloadTable.columns, specTable.without("workload_id").columns,
		resultTable.without("workload_id").columns)}
)

// The statements on them.
var (
	insertWorkloads = submittedTable.insert()
	updateWorkloads = changedTable.update("workload_id")
	updateUsual     = usualTable.update("workload_id")
	insertSpecs     = newSpecTable.insert()
	insertResults   = resultTable.insert()
	insertWaiting   = waitingTable.insert()
	insertDelayed   = delayedTable.insert()
	insertHeld      = heldTable.insert()
	updateHeld      = heldTable.update("workload_id")
	insertPaused    = pausedTable.insert()
	insertFinished  = finishedTable.insert()

	// hotColumns are the columns that transitions read. wholeColumns are all.
	hotColumns   = workloadTable.names("w")
	wholeColumns = hotColumns + ", " + specTable.without("workload_id").names("s") + ", " +
		resultTable.without("workload_id").names("r")
)

// largeSpec is how many bytes the input and the config of a workload may have together to be read with
// its assignment. A batch assigns many workloads.
const largeSpec = 64 << 10

// lockWorkloads locks and reads the rows with the given ids, in their order. Otherwise two batches could
// deadlock. lockAssigned reads the specs as well, which have what an assigned workload reserves, and
// what its command needs, unless that is large.
var (
	lockWorkloads = "SELECT " + workloadTable.names("w") + " FROM " + inOrder + lockRows
	lockAssigned  = "SELECT " + workloadTable.names("w") + ", " + unlessLarge("input", "config") +
		" FROM " + inOrder + " JOIN workload_specs s USING (workload_id)" + lockRows
)

// unlessLarge returns the columns of a spec. The named ones are empty if they are large together: their
// sizes are known without reading them.
func unlessLarge(names ...string) string {
	sizes := "octet_length(s." + strings.Join(names, ") + octet_length(s.") + ")"
	return specTable.without("workload_id").each(func(c *column[workload], _ int) string {
		if slices.Contains(names, c.name) {
			return fmt.Sprintf("CASE WHEN %s <= %d THEN s.%s ELSE '' END", sizes, largeSpec, c.name)
		}
		return "s." + c.name
	})
}

const (
	// inOrder joins each of the given ids to its row. The planner settings leave a nested loop over the
	// ids.
	inOrder  = `(SELECT unnest($1::text[]) AS id) u JOIN workloads w ON w.workload_id = u.id`
	lockRows = " FOR NO KEY UPDATE OF w"
)

const wholeTables = `workloads w JOIN workload_specs s USING (workload_id)
 LEFT JOIN workload_results r USING (workload_id)`

// failureColumn is a column of a field of State.Failure. It is NULL when there is no failure.
func failureColumn[V string | bool](name, pgType string, field func(*domain.Failure) *V) column[state] {
	return column[state]{
		name: name, pgType: pgType,
		array: func(rows []*state) any {
			return each(rows, func(s *state) *V {
				if s.Failure == nil {
					return nil
				}
				return field(s.Failure)
			})
		},
		target: func(s *state) any { return &failureTarget[V]{s, field} },
	}
}

type failureTarget[V string | bool] struct {
	row   *state
	field func(*domain.Failure) *V
}

// Scan implements sql.Scanner.
func (t *failureTarget[V]) Scan(src any) error {
	v, ok := src.(V)
	if !ok {
		return nil // NULL
	}
	if t.row.Failure == nil {
		t.row.Failure = &domain.Failure{}
	}
	*t.field(t.row.Failure) = v
	return nil
}
