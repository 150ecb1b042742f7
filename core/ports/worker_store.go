package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// WorkerStore keeps workers and the leases of their sessions. Leases are judged by the store's clock.
type WorkerStore interface {
	// Register starts a session with a lease, status HEALTHY, and writes the audit event worker.registered. A session
	// of the same worker id that is live ends at once: its id is no longer current, so its work shows as orphaned
	// (domain.LossReplaced). Repeating a registration with the same session id is answered alike and changes nothing
	// but the lease. CodeConflict when PreviousSessionID is set, is not the current session, and the current
	// one is live: a successor owns the id, the caller must end.
	// CodeFenced when the session id has ended: a registration that was delayed never revives it.
	// CodeInvalidInput when the registration is not valid.
	Register(ctx context.Context, r domain.Registration, lease time.Duration) (domain.Worker, error)

	// Heartbeat renews the leases of the sessions that are current and not DEAD, and answers each in its place.
	// A session past its lease that nobody has declared dead yet is renewed.
	Heartbeat(ctx context.Context, beats []Beat, lease time.Duration) ([]BeatResult, error)

	// Expire declares DEAD up to limit workers whose lease has ended, longest ended first, with the audit events
	// worker.heartbeat_missed and worker.marked_dead, and returns them. A lease renewed before the statement
	// takes effect is never expired. CodeFenced unless epoch is the current leader epoch.
	Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error)

	// Drain sets a HEALTHY worker to DRAINING, with the audit event worker.draining: it gets no new work, and
	// its next heartbeat tells it. Already DRAINING: success, nothing changed. DEAD: CodeInvalidState with
	// the detail "status". CodeNotFound when there is no such worker.
	Drain(ctx context.Context, id domain.WorkerID, actor domain.Actor) (domain.Worker, error)

	// Remove deletes the worker, with the audit event worker.removed; its work shows as orphaned
	// (domain.LossRemoved). The removed session is never renewed again. CodeNotFound when there is none.
	Remove(ctx context.Context, id domain.WorkerID, actor domain.Actor) error

	// List returns all workers, DEAD ones included, ordered by id; with ids, those of them that exist.
	List(ctx context.Context, ids ...domain.WorkerID) ([]domain.Worker, error)

	// KnownTypes returns every type that any worker ever offered, sorted. Removing a worker keeps its types.
	KnownTypes(ctx context.Context) ([]string, error)
}

// Beat is one heartbeat as the store sees it.
type Beat struct {
	WorkerID  domain.WorkerID
	SessionID domain.SessionID
	// Draining is the worker's own word that it takes no new work; it sets DRAINING with the audit event.
	Draining bool
}

// BeatStatus is the fate of a session.
type BeatStatus int

// The fates.
const (
	// BeatRenewed: the lease runs again from now.
	BeatRenewed BeatStatus = iota
	// BeatExpired: the session was declared dead or removed; the worker may register anew.
	BeatExpired
	// BeatReplaced: another session owns the worker id and is live; the process must end.
	BeatReplaced
)

// BeatResult answers one heartbeat. WorkerStatus is set when renewed.
type BeatResult struct {
	Status       BeatStatus
	WorkerStatus domain.WorkerStatus
}
