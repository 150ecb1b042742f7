package postgres

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type tickets struct{ s *Store }

var (
	ticketTable = table[domain.Ticket]{"tickets", []column[domain.Ticket]{
		digest("digest", func(t *domain.Ticket) *[32]byte { return &t.Digest }),
		text("key_id", func(t *domain.Ticket) *domain.KeyID { return &t.KeyID }),
		text("key_prefix", func(t *domain.Ticket) *string { return &t.KeyPrefix }),
		instant("created_at", func(t *domain.Ticket) *time.Time { return &t.CreatedAt }),
	}}
	insertTicket = ticketTable.insert("created_at") + " ON CONFLICT DO NOTHING RETURNING " + ticketTable.names("")
	// redeemTicket finds nothing once another transaction has deleted the row, which it waits for.
	redeemTicket = `DELETE FROM tickets t WHERE t.digest = $1::bytea
 AND t.created_at > niyanta_now() - $2::bigint * interval '1 microsecond' RETURNING ` + ticketTable.names("t")
)

// Create implements ports.TicketStore.
func (t tickets) Create(ctx context.Context, ticket domain.Ticket) (domain.Ticket, error) {
	stored, err := query(ctx, t.s.pool, ticketTable.scan, insertTicket, ticketTable.args([]*domain.Ticket{&ticket})...)
	return only(stored, err, domain.ErrTicketExists())
}

// Redeem implements ports.TicketStore.
func (t tickets) Redeem(ctx context.Context, digest [32]byte, lifetime time.Duration) (domain.Ticket, error) {
	redeemed, err := query(ctx, t.s.pool, ticketTable.scan, redeemTicket, digest[:], lifetime.Microseconds())
	return only(redeemed, err, domain.NotFound("ticket"))
}
