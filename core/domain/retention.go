package domain

import "time"

// Kept names what is kept for a time and then removed. It is the label of the metric that counts
// what was removed.
type Kept string

// What is kept for a time.
const (
	// KeptWorkloads are finished workloads. They move to the archive.
	KeptWorkloads Kept = "workloads"
	// KeptLogs are the log lines of finished workloads.
	KeptLogs Kept = "logs"
	// KeptArchive are the workloads in the archive.
	KeptArchive Kept = "archive"
	// KeptAudit are the audit events of workloads and workers.
	KeptAudit Kept = "audit"
	// KeptAdminAudit are the audit events of administrators.
	KeptAdminAudit Kept = "admin_audit"
	// KeptIdempotencyKeys are the idempotency keys of submissions, and answers that are repeated.
	KeptIdempotencyKeys Kept = "idempotency_keys"
	// KeptTickets are tickets that were not redeemed.
	KeptTickets Kept = "tickets"
	// KeptStatistics are the hours of the statistics, and totals that count nothing.
	KeptStatistics Kept = "statistics"
	// KeptWorkers are DEAD workers.
	KeptWorkers Kept = "workers"
	// KeptSessions is what is remembered of ended sessions and of processes that have died.
	KeptSessions Kept = "sessions"
	// KeptLanes are lanes without work, ending runs of sessions that have ended, and counts of
	// submissions that the mix no longer reaches.
	KeptLanes Kept = "lanes"
)

// AllKept lists what is kept for a time, in the order in which it is removed.
func AllKept() []Kept {
	return []Kept{
		KeptWorkloads, KeptLogs, KeptArchive, KeptAudit, KeptAdminAudit, KeptIdempotencyKeys, KeptTickets,
		KeptStatistics, KeptWorkers, KeptSessions, KeptLanes,
	}
}

// Retention says how long an installation keeps what it keeps for a time. What has no period here
// is kept for ever.
type Retention struct {
	// Workloads is how long a workload is kept after it has finished, Logs how long its log lines
	// are. They hold for customers without periods of their own.
	Workloads, Logs time.Duration
	// Archive is how long a workload is found in the archive.
	Archive time.Duration
	// Audit is how long audit events of workloads and workers are kept, AdminAudit how long those of
	// administrators are.
	Audit, AdminAudit time.Duration
	// Statistics is how long the hours of statistics are kept.
	Statistics time.Duration
	// DeadWorkers is how long DEAD workers are kept, and what is remembered of ended sessions.
	DeadWorkers time.Duration
}

// Of returns how long something is kept; 0 means for ever.
func (r Retention) Of(k Kept) time.Duration {
	switch k {
	case KeptWorkloads:
		return r.Workloads
	case KeptLogs:
		return r.Logs
	case KeptArchive:
		return r.Archive
	case KeptAudit:
		return r.Audit
	case KeptAdminAudit:
		return r.AdminAudit
	case KeptStatistics:
		return r.Statistics
	case KeptWorkers, KeptSessions:
		return r.DeadWorkers
	case KeptIdempotencyKeys:
		return IdempotencyRetention
	case KeptTickets:
		return TicketRetention
	case KeptLanes:
		return LaneRetention
	}
	return 0
}

// ArchiveMargin is how long after the end of a month it is certain that nothing is archived in it any
// more. No transaction is open for as long.
const ArchiveMargin = time.Hour

// MonthOf returns the beginning of the month in UTC that a time is in.
func MonthOf(at time.Time) time.Time {
	at = at.UTC()
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// FirstMonthKept returns the beginning of the first month that is kept of what goes by month in UTC:
// audit events, and the archive. A month goes when all of it is older than age.
func FirstMonthKept(age time.Duration, now time.Time) time.Time {
	return MonthOf(now.Add(-age))
}

// CustomerRetention is how long the workloads of one customer are kept, in days. A zero field means:
// as the installation says.
type CustomerRetention struct {
	// WorkloadDays is how long a workload is kept after it has finished, LogDays how long its log
	// lines are.
	WorkloadDays, LogDays int
}

// MaxRetentionDays is the longest period that a customer can have.
const MaxRetentionDays = 3650

// Workloads returns how long a finished workload is kept. It is never shorter than what repeats its
// submission is.
func (r CustomerRetention) Workloads(byDefault time.Duration) time.Duration {
	return max(period(r.WorkloadDays, byDefault), IdempotencyRetention)
}

// Logs returns how long the log lines of a finished workload are kept.
func (r CustomerRetention) Logs(byDefault time.Duration) time.Duration {
	return period(r.LogDays, byDefault)
}

func period(days int, byDefault time.Duration) time.Duration {
	if days == 0 {
		return byDefault
	}
	return time.Duration(days) * 24 * time.Hour
}

func (r CustomerRetention) validate() error {
	switch {
	case r.WorkloadDays < 0 || r.WorkloadDays > MaxRetentionDays:
		return Invalid("retention.workload_days", "must be 1 to %d", MaxRetentionDays)
	case r.LogDays < 0 || r.LogDays > MaxRetentionDays:
		return Invalid("retention.log_days", "must be 1 to %d", MaxRetentionDays)
	}
	return nil
}

// RetentionPatch changes the periods of a customer. Setting one to zero restores the installation's.
type RetentionPatch struct{ WorkloadDays, LogDays Change[int] }

// Apply returns r with the patch applied.
func (p RetentionPatch) Apply(r CustomerRetention) CustomerRetention {
	p.WorkloadDays.apply(&r.WorkloadDays)
	p.LogDays.apply(&r.LogDays)
	return r
}
