package tenancy

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// CreateTicket returns a ticket for the principal's key, and when it was made by the store's clock. It
// can be redeemed once, at any coordinator. A ticket stands for a stored key: CodeForbidden for a
// principal with a token.
func (s *Service) CreateTicket(ctx context.Context, p domain.Principal) (ticket string, made time.Time, err error) {
	if !p.TokenExpires.IsZero() {
		return "", time.Time{}, domain.NewError(domain.CodeForbidden,
			"tickets are made with API keys: send the token itself, as a header or as the first message")
	}
	var random [20]byte
	s.deps.IDs.Random(random[:])
	ticket = domain.FormatTicket(random)
	digest, _ := domain.TicketDigest(ticket)
	t, err := s.deps.Tickets.Create(ctx, domain.Ticket{Digest: digest, KeyID: p.KeyID, KeyPrefix: p.KeyPrefix})
	if err != nil {
		return "", time.Time{}, err
	}
	return ticket, t.CreatedAt, nil
}

// RedeemTicket returns the principal of the key that made the ticket, if it can still be used and the
// ticket is younger than its lifetime. A second call with the same ticket fails. Whatever is wrong, the
// error is that of Authenticate.
func (s *Service) RedeemTicket(
	ctx context.Context, ticket string, lifetime time.Duration,
) (domain.Principal, error) {
	digest, ok := domain.TicketDigest(ticket)
	if !ok {
		return domain.Principal{}, errUnauthorized()
	}
	t, err := s.deps.Tickets.Redeem(ctx, digest, lifetime)
	switch {
	case domain.IsCode(err, domain.CodeNotFound):
		return domain.Principal{}, errUnauthorized()
	case err != nil:
		return domain.Principal{}, err
	}
	return s.Recheck(ctx, domain.Principal{KeyID: t.KeyID, KeyPrefix: t.KeyPrefix})
}
