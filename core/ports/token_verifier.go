package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// TokenVerifier verifies the tokens of an identity provider. Safe for concurrent use.
type TokenVerifier interface {
	// Verify returns what a token says of its bearer, if the provider has signed it for this
	// installation and it has neither expired nor is it for later. CodeUnauthorized for every other
	// token, whatever is wrong with it. CodeUnavailable if the provider has not answered since the
	// start, so that nothing can be verified. It asks the provider at most now and then, and is
	// bounded in time.
	Verify(ctx context.Context, token string) (domain.Identity, error)
}
