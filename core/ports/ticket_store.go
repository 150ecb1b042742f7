package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// TicketStore keeps tickets that can be redeemed once. RetentionStore removes those that expired.
type TicketStore interface {
	// Create stores a ticket, CreatedAt from the store's clock, and returns it. CodeConflict when the
	// digest exists.
	Create(ctx context.Context, t domain.Ticket) (domain.Ticket, error)
	// Redeem removes the ticket with that digest and returns it. Of concurrent callers, on whatever
	// handles, at most one gets it. CodeNotFound when there is none, or it is as old as the lifetime by
	// the store's clock.
	Redeem(ctx context.Context, digest [32]byte, lifetime time.Duration) (domain.Ticket, error)
}
