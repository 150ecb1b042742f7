package tenancy

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// authenticateToken returns the principal of a token.
func (s *Service) authenticateToken(ctx context.Context, token string) (domain.Principal, error) {
	if s.deps.Tokens == nil || len(token) > domain.TokenLimit {
		return domain.Principal{}, errUnauthorized()
	}
	identity, err := s.deps.Tokens.Verify(ctx, token)
	switch {
	case domain.IsCode(err, domain.CodeUnauthorized):
		return domain.Principal{}, errUnauthorized()
	case err != nil:
		return domain.Principal{}, err
	}
	p, ok := identity.Principal(s.roles)
	if !ok {
		return domain.Principal{}, errUnauthorized()
	}
	return p, s.checkToken(ctx, p)
}

// checkToken returns CodeUnauthorized if the principal's token has expired, or if its customer does
// not exist or is being deleted, which ends keys as well. The customer that an administrator acts for
// is not the token's: what is left of one that is being deleted can be looked at.
func (s *Service) checkToken(ctx context.Context, p domain.Principal) error {
	if !s.deps.Clock.Now().Before(p.TokenExpires) {
		return errUnauthorized()
	}
	if p.CustomerID == "" || p.Admin != nil {
		return nil
	}
	c, err := s.customer(ctx, p.CustomerID)
	if domain.IsCode(err, domain.CodeNotFound) || err == nil && c.Deleting() {
		return errUnauthorized()
	}
	return err
}
