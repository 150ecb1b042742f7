package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// WorkerStore keeps workers and the leases of their sessions. Leases are judged by the store's
// clock.
type WorkerStore interface {
	// Register starts a session with a lease, as domain.Registration.Decide says, with the audit
	// event worker.registered; with Draining also worker.draining. A live session of the same
	// worker id ends at once when the same process held it (same PreviousSessionID or ProcessID) or
	// when TakeOver is set: its work shows as orphaned (domain.LossReplaced). When its lease has
	// ended by the store's clock, it ends as Expire would end it. Otherwise CodeConflict with the
	// detail "lease_left_ms": another process owns the id. Repeating a registration with the same
	// session id is answered alike and changes nothing but the lease. The ended sessions of the
	// same process have returned: see domain.EndedSession. CodeFenced when the session id has
	// ended, and when the process has died by a certificate whose digest the registration carries:
	// a registration that was delayed never revives it. CodeInvalidInput when the registration is
	// not valid.
	Register(ctx context.Context, r domain.Registration, lease time.Duration) (domain.Worker, error)

	// Heartbeat renews the leases of the sessions that are current and not DEAD, and answers each
	// in its place. A session past its lease that nobody has declared dead yet is renewed.
	Heartbeat(ctx context.Context, beats []Beat, lease time.Duration) ([]BeatResult, error)

	// End ends sessions before their leases, and returns the workers whose sessions ended by this
	// call.
	//
	// The holder's own word (worker and session): the worker is gone, as if it had been removed,
	// with the audit event worker.removed by the worker; its work shows as orphaned
	// (domain.LossLeft). A session that is not the worker's live one: success, nothing changes.
	//
	// A death certificate (process and secret): every live session that the process registered with
	// the digest of the secret ends, its worker is DEAD, with the audit event worker.marked_dead;
	// its work shows as orphaned (domain.LossDied). No other session ends. The certificate is kept,
	// so that the process never registers again (see Register). Repeated: success, nothing changes.
	// A process that the store does not know: success. CodeForbidden when sessions of the process
	// are known and none has the digest of the secret: nothing changes.
	//
	// CodeInvalidInput when e is not valid.
	End(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error)

	// Expire declares DEAD up to limit workers whose lease has ended (at LeaseUntil or before),
	// longest ended first, with the audit events worker.heartbeat_missed and worker.marked_dead,
	// and returns them. A lease renewed before the statement takes effect is never expired.
	// CodeFenced unless epoch is the current leader epoch.
	Expire(ctx context.Context, epoch int64, limit int) ([]domain.Worker, error)

	// List returns all workers, DEAD ones included, ordered by id; with ids, those of them that
	// exist.
	List(ctx context.Context, ids ...domain.WorkerID) ([]domain.Worker, error)

	// Fleet returns what List and QueueStore.Occupancy return of all, as of one moment.
	Fleet(ctx context.Context) (domain.Fleet, error)
}

// FleetStore is what operators do to workers. Each action is recorded in the same transaction as an
// action of by; see AdminAuditStore.
type FleetStore interface {
	// Drain sets a HEALTHY worker to DRAINING, with the audit event worker.draining: it gets no new
	// work, and its next heartbeat tells it. Already DRAINING: success, nothing changed. DEAD:
	// CodeInvalidState with the detail "status". CodeNotFound when there is no such worker.
	Drain(ctx context.Context, id domain.WorkerID, by domain.Admin) (domain.Worker, error)

	// Undrain sets a DRAINING worker to HEALTHY, with the audit event worker.undrained: it gets
	// work again. Already HEALTHY: success, nothing changed. A worker that drains by its own word
	// says so again with its next heartbeat. DEAD: CodeInvalidState with the detail "status".
	// CodeNotFound when there is no such worker.
	Undrain(ctx context.Context, id domain.WorkerID, by domain.Admin) (domain.Worker, error)

	// Remove deletes the worker, with the audit event worker.removed; its work shows as orphaned
	// (domain.LossRemoved). The removed session is never renewed again. CodeNotFound when there is
	// none.
	Remove(ctx context.Context, id domain.WorkerID, by domain.Admin) error
}

// Beat is one heartbeat as the store sees it.
type Beat struct {
	WorkerID  domain.WorkerID
	SessionID domain.SessionID
	// Draining is the worker's own word that it takes no new work; it sets DRAINING with the audit
	// event.
	Draining bool
}

// BeatResult answers one heartbeat. Status is the state of the session: its lease is renewed only
// if it is current. WorkerStatus is set then.
type BeatResult struct {
	Status       domain.SessionStatus
	WorkerStatus domain.WorkerStatus
}
