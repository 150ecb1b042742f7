package niyanta

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

// StatsParams selects statistics.
type StatsParams struct {
	// StartDate is the first day and EndDate the last one, included, such as 2026-03-31. Days are
	// in UTC.
	StartDate, EndDate string

	// GroupBy: GroupByDay if empty.
	GroupBy GroupBy
}

// GroupBy is what statistics are grouped by.
type GroupBy string

// The groupings.
const (
	GroupByDay          GroupBy = "day"
	GroupByHour         GroupBy = "hour"
	GroupByWorkloadType GroupBy = "workload_type"
)

// CustomerStats are what finished in a range of days.
type CustomerStats struct {
	// ByDay: present if grouped by day.
	ByDay *[]DayStats `json:"by_day,omitempty"`

	// ByHour: present if grouped by hour.
	ByHour *[]HourStats `json:"by_hour,omitempty"`

	// ByWorkloadType: present if grouped by workload type.
	ByWorkloadType *[]TypeStats `json:"by_workload_type,omitempty"`
	EndDate        string       `json:"end_date"`
	StartDate      string       `json:"start_date"`
	Summary        struct {
		CancelledWorkloads int `json:"cancelled_workloads"`
		CompletedWorkloads int `json:"completed_workloads"`
		FailedWorkloads    int `json:"failed_workloads"`

		// PeakMemoryMB: the most memory that one of these runs used. 0: none was measured.
		PeakMemoryMB int64 `json:"peak_memory_mb"`

		// TotalCPUSeconds: the CPU time of the runs that ended, as far as their workers measured
		// it, as they do for programs. Runs count whose workloads have not finished, too.
		TotalCPUSeconds float64 `json:"total_cpu_seconds"`

		// TotalExecutionHours: how long all runs of what finished ran.
		TotalExecutionHours float64 `json:"total_execution_hours"`

		// TotalWorkloads: what finished.
		TotalWorkloads int `json:"total_workloads"`
	} `json:"summary"`
}

// DayStats are what finished on one day.
type DayStats struct {
	// AvgDurationSeconds: how long one ran on average.
	AvgDurationSeconds float64 `json:"avg_duration_seconds"`

	// Count: what finished.
	Count int    `json:"count"`
	Date  string `json:"date"`

	// FailureRate: the share that failed.
	FailureRate float64 `json:"failure_rate"`
}

// HourStats are what finished in one hour.
type HourStats struct {
	// AvgDurationSeconds: how long one ran on average.
	AvgDurationSeconds float64 `json:"avg_duration_seconds"`

	// Count: what finished.
	Count int `json:"count"`

	// FailureRate: the share that failed.
	FailureRate float64 `json:"failure_rate"`

	// Hour: its beginning.
	Hour time.Time `json:"hour"`
}

// TypeStats are what finished of one workload type.
type TypeStats struct {
	// AvgDurationSeconds: how long one ran on average.
	AvgDurationSeconds float64 `json:"avg_duration_seconds"`

	// Count: what finished.
	Count int `json:"count"`

	// FailureRate: the share that failed.
	FailureRate  float64 `json:"failure_rate"`
	WorkloadType string  `json:"workload_type"`
}

// QueueDepth is how much waits.
type QueueDepth struct {
	// ByTier: for an admin.
	ByTier *[]TierDepth `json:"by_tier,omitempty"`

	// ByWorkloadType: the types of which most waits, the deepest first.
	ByWorkloadType []TypeDepth `json:"by_workload_type"`

	// OldestQueuedAt: when the workload began to wait that may be placed and has waited longest;
	// nil if none may be placed.
	OldestQueuedAt *time.Time `json:"oldest_queued_at,omitempty"`

	// OldestWaitSeconds: how long it has waited.
	OldestWaitSeconds *float64 `json:"oldest_wait_seconds,omitempty"`

	// QueueDepth: what is PENDING or REDISTRIBUTING.
	QueueDepth int `json:"queue_depth"`

	// RunningWorkloads: what is SCHEDULED or RUNNING.
	RunningWorkloads int `json:"running_workloads"`
}

// TierDepth is how much waits of the customers of one tier.
type TierDepth struct {
	// OldestQueuedAt, OldestWaitSeconds: as in QueueDepth.
	OldestQueuedAt    *time.Time `json:"oldest_queued_at,omitempty"`
	OldestWaitSeconds *float64   `json:"oldest_wait_seconds,omitempty"`
	QueueDepth        int        `json:"queue_depth"`
	RunningWorkloads  int        `json:"running_workloads"`
	Tier              Tier       `json:"tier"`

	// Waited is how long the workloads had waited that were placed lately for the first time; nil if
	// none was.
	Waited *Waited `json:"waited,omitempty"`
}

// Waited is how long workloads had waited until they were placed, within a tenth: the quantiles in
// seconds.
type Waited struct {
	P50Seconds float64 `json:"p50_seconds"`
	P95Seconds float64 `json:"p95_seconds"`
	P99Seconds float64 `json:"p99_seconds"`

	// Placed: how many they are.
	Placed int `json:"placed"`

	// WindowSeconds: how far back they reach, at most 5 minutes.
	WindowSeconds float64 `json:"window_seconds"`
}

// TypeDepth is how much waits of one workload type.
type TypeDepth struct {
	// OldestQueuedAt, OldestWaitSeconds: as in QueueDepth.
	OldestQueuedAt    *time.Time `json:"oldest_queued_at,omitempty"`
	OldestWaitSeconds *float64   `json:"oldest_wait_seconds,omitempty"`
	QueueDepth        int        `json:"queue_depth"`
	RunningWorkloads  int        `json:"running_workloads"`
	WorkloadType      string     `json:"workload_type"`

	// Unplaceable is what of it no worker could run; nil if there is none, and for an admin.
	Unplaceable *Unplaceable `json:"unplaceable,omitempty"`
}

// Unplaceable is what no worker could run, even if it were empty: none offers its type or has what it
// must have. Only what may be placed now counts, as of the last seconds. Placement says why.
type Unplaceable struct {
	// FirstWorkloadID: the one of them that has waited longest.
	FirstWorkloadID string `json:"first_workload_id"`

	// QueueDepth: how many they are.
	QueueDepth          int  `json:"queue_depth"`
	QueueDepthEstimated bool `json:"queue_depth_estimated"`
}

// Stats returns what finished of the caller's workloads.
func (c *Client) Stats(ctx context.Context, p StatsParams) (CustomerStats, error) {
	q := &client.GetCustomerStatsParams{StartDate: p.StartDate, EndDate: p.EndDate}
	if p.GroupBy != "" {
		q.GroupBy = new(client.GetCustomerStatsParamsGroupBy(p.GroupBy))
	}
	return read[CustomerStats](ctx)(c.api.GetCustomerStats(ctx, q))
}

// QueueDepth returns how much of the caller's workloads waits; with an admin key, of all
// customers'.
func (c *Client) QueueDepth(ctx context.Context) (QueueDepth, error) {
	return read[QueueDepth](ctx)(c.api.GetQueueDepth(ctx))
}

// Scaling says how many workers each pool needs.
type Scaling struct {
	// Pools: by their names, as the coordinators are configured.
	Pools map[string]PoolScale `json:"pools"`
}

// PoolScale says how large a pool is and how large it should be.
type PoolScale struct {
	// Capacity: slots of the pool's workers that take new work, taken ones included.
	Capacity int `json:"capacity"`

	// DesiredWorkers: how many workers there should be.
	DesiredWorkers int `json:"desired_workers"`

	// OldestWaitSeconds: the longest wait of what waits; 0 if nothing does.
	OldestWaitSeconds float64 `json:"oldest_wait_seconds"`

	// Running: slots of the pool's workers that are taken.
	Running int `json:"running"`

	// Waiting: what workers of the pool could run and may be placed now.
	Waiting int `json:"waiting"`

	// Workers: workers that take new work.
	Workers int `json:"workers"`
}

// Scaling returns how many workers each pool needs. It needs the key of an administrator or of a
// scaler.
func (c *Client) Scaling(ctx context.Context) (Scaling, error) {
	return read[Scaling](ctx)(c.api.GetScaling(ctx))
}
