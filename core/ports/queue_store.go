package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// QueueStore is the leader's view of the same storage as WorkloadStore: what waits, what runs, what
// needs attention. Reads only; each is consistent in itself.
type QueueStore interface {
	// Heads returns, for every lane that has an eligible workload (PENDING or REDISTRIBUTING,
	// NotBefore not in the future), the first N by QueueAt, ties by id, and whether there are more.
	// With Lanes given, only of those. Lanes are ordered by id. Of a customer that has more lanes
	// than the limit, only those are returned that domain.HeadsQuery.Choose chooses. That choice
	// may be some seconds old, and the first one takes a moment, in which any of its lanes are
	// returned, up to the limit. The cost depends neither on how many wait behind the heads nor on
	// how many lanes a customer has beyond the limit.
	Heads(ctx context.Context, q domain.HeadsQuery) (domain.QueueHeads, error)

	// NextDue returns how long it is, by the store's clock, until the next workload becomes eligible
	// that is not yet. ok is false when none will.
	NextDue(ctx context.Context) (in time.Duration, ok bool, err error)

	// Occupancy counts what sessions hold (SCHEDULED + RUNNING), and what live sessions have not
	// let go of (domain.Ending), by session and lane, ordered by them. It adds up the devices that
	// these runs hold. With sessions given, it counts only theirs, at a cost that does not depend on
	// the others.
	Occupancy(ctx context.Context, sessions ...domain.SessionID) ([]domain.Occupancy, error)

	// Held returns what the given sessions hold, ordered by workload id, and behind it, marked,
	// what those of them that are live have not let go of (domain.Ending).
	Held(ctx context.Context, sessions ...domain.SessionID) ([]HeldWorkload, error)

	// Orphans returns up to limit workloads, ordered by id and behind after, that are held by a
	// session which is no worker's live session any more, with how it was lost.
	Orphans(ctx context.Context, after domain.WorkloadID, limit int) ([]Orphan, error)

	// Unstarted returns up to limit SCHEDULED workloads, ordered by id and behind after, assigned
	// longer than age ago by the store's clock.
	Unstarted(ctx context.Context, age time.Duration, after domain.WorkloadID, limit int) ([]HeldWorkload, error)

	// Overdue returns up to limit RUNNING workloads, ordered by id and behind after, whose deadline
	// passed longer than grace ago by the store's clock.
	Overdue(ctx context.Context, grace time.Duration, after domain.WorkloadID, limit int) ([]HeldWorkload, error)
}

// HeldWorkload is a workload that a session holds, or has not let go of.
type HeldWorkload struct {
	WorkloadID     domain.WorkloadID
	CustomerID     domain.CustomerID
	WorkerID       domain.WorkerID
	SessionID      domain.SessionID
	Lane           domain.LaneID
	Generation     int64
	Status         domain.Status
	PauseRequested bool
	// HeldFor is how long ago it was assigned, by the store's clock.
	HeldFor time.Duration
	// Suspect reports whether several workers in a row died while they ran the workload.
	Suspect bool
	// Ending reports whether the session no longer holds the workload but has not let go of it for
	// EndingFor. Status is that of the workload then, and empty if there is none any more.
	Ending    bool
	EndingFor time.Duration
}

// Run identifies the run.
func (h *HeldWorkload) Run() domain.RunID {
	return domain.RunID{WorkloadID: h.WorkloadID, Generation: h.Generation}
}

// Orphan is a held workload whose session is gone.
type Orphan struct {
	HeldWorkload
	Loss domain.Loss
	// Excused reports whether the loss does not count against the workload although it looks like a
	// death (domain.EndedSession.Excused). Shared reports whether the workload is a suspect and its
	// session held another one when it ended, or one that was cancelled and not yet seen to end.
	// Returned are the sessions named by the workload's deaths whose process has registered again
	// since.
	Excused, Shared bool
	Returned        []domain.SessionID
}
