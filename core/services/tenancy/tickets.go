package tenancy

import (
	"context"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// CreateTicket returns a ticket for the principal, and when it was made by the store's clock. It can be
// redeemed once, at any coordinator.
func (s *Service) CreateTicket(ctx context.Context, p domain.Principal) (ticket string, made time.Time, err error) {
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

// RedeemTicket returns the principal that made the ticket, if its key or token can still be used and
// the ticket is younger than its lifetime. The store does not know what a token said: bearer is the
// principal with the token that made the ticket, as it was then; nil if a key made it. A second call
// with the same ticket fails. Whatever is wrong, the error is that of Authenticate.
func (s *Service) RedeemTicket(
	ctx context.Context, ticket string, lifetime time.Duration, bearer *domain.Principal,
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
	case !strings.HasPrefix(string(t.KeyID), domain.KeyIDOfToken):
		return s.Recheck(ctx, domain.Principal{KeyID: t.KeyID, KeyPrefix: t.KeyPrefix})
	case bearer == nil || bearer.KeyID != t.KeyID || bearer.TokenExpires.IsZero():
		return domain.Principal{}, errUnauthorized()
	}
	return s.Recheck(ctx, *bearer)
}
