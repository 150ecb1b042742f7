package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// ErasureStore removes what customers have that are being deleted (CustomerStore.Delete).
type ErasureStore interface {
	// Deleting returns up to limit customers behind the id after that are being deleted, ordered by
	// id.
	Deleting(ctx context.Context, after domain.CustomerID, limit int) ([]domain.CustomerID, error)

	// Unfinished returns up to limit unfinished workloads of a customer.
	Unfinished(ctx context.Context, customer domain.CustomerID, limit int) ([]domain.WorkloadID, error)

	// Erase removes some of what a customer has that is being deleted, in one short transaction whose
	// size limit bounds. First go its finished workloads with all that belongs to them, except those
	// whose runs workers have not let go of (domain.Ending). When the customer has no workload left,
	// all else goes, archived workloads and audit trails included, and at last the customer itself,
	// which is recorded as an action of by. A customer that is not being deleted keeps everything.
	// CodeFenced unless epoch is the current leader epoch; nothing is removed then.
	Erase(
		ctx context.Context, epoch int64, customer domain.CustomerID, limit int, by domain.Admin,
	) (Erased, error)

	// Remaining counts the workloads that a customer has, archived ones included, up to limit.
	Remaining(ctx context.Context, customer domain.CustomerID, limit int) (int, error)
}

// Erased is what a call of Erase has done.
type Erased struct {
	// More reports whether the next call can remove more at once. If neither More nor Done is set,
	// the customer has workloads that are not finished or that workers still run, or values that are
	// not deleted yet, or it is not being deleted.
	More bool
	// Done reports that this call removed the customer itself: nothing of it is left.
	Done bool
}
