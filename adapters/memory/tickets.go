package memory

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type tickets struct{ s *Store }

// Create implements ports.TicketStore.
func (t tickets) Create(ctx context.Context, ticket domain.Ticket) (domain.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return domain.Ticket{}, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if _, taken := t.s.tickets[ticket.Digest]; taken {
		return domain.Ticket{}, domain.ErrTicketExists()
	}
	ticket.CreatedAt = t.s.now()
	t.s.tickets[ticket.Digest] = ticket
	return ticket, nil
}

// Redeem implements ports.TicketStore.
func (t tickets) Redeem(ctx context.Context, digest [32]byte, lifetime time.Duration) (domain.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return domain.Ticket{}, err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	ticket, found := t.s.tickets[digest]
	if !found || ticket.Expired(t.s.now(), lifetime) {
		return domain.Ticket{}, domain.NotFound("ticket")
	}
	delete(t.s.tickets, digest)
	return ticket, nil
}

func (s *Store) purgeTicketsLocked(p ports.Purge, now time.Time) (n int) {
	for digest, ticket := range s.tickets {
		if n < p.Limit && now.Sub(ticket.CreatedAt) > p.Age {
			delete(s.tickets, digest)
			n++
		}
	}
	return n
}
