package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// EventStore reads audit events and log lines for live updates. Reads see what was committed before
// they began, on every handle.
type EventStore interface {
	// OfWorkload returns what happened to a customer's workload behind a position: up to limit audit
	// events and up to limit log lines, as they were at one instant. Events of one workload are
	// committed in the order of their ids, and so are its lines: none appears later at or below a
	// position that was read. Missing workloads and another customer's have nothing.
	OfWorkload(
		ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after domain.Position, limit int,
	) (domain.EventPage, error)
	// Horizon returns how far OfCustomer and OfAll can read. Settled never falls, except after the
	// storage was restored to an earlier state. It waits a moment for transactions that may commit an
	// event below Last. A transaction that does not write events holds nothing back.
	Horizon(ctx context.Context) (domain.Horizon, error)
	// OfCustomer returns up to limit audit events of a customer's workloads with ids above after, up
	// to and including upTo, oldest first. Up to Settled, none appears later.
	OfCustomer(
		ctx context.Context, customer domain.CustomerID, after, upTo int64, limit int,
	) ([]domain.AuditEvent, error)
	// OfAll is OfCustomer for the workloads of all customers.
	OfAll(ctx context.Context, after, upTo int64, limit int) ([]domain.AuditEvent, error)
	// Ends returns the newest position of each of these workloads. Missing ones are left out.
	Ends(ctx context.Context, ids []domain.WorkloadID) (map[domain.WorkloadID]domain.Position, error)
	// CustomerEnds returns the newest id of an event of each of these customers' workloads, settled or
	// not. Customers without events are left out.
	CustomerEnds(ctx context.Context, ids []domain.CustomerID) (map[domain.CustomerID]int64, error)
}
