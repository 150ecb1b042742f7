package ports

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// AnswerStore keeps the answers to requests that were sent with an idempotency key. RetentionStore
// removes them with the keys.
type AnswerStore interface {
	// Keep stores an answer, its time from the store's clock, and returns it. If the customer has an
	// answer to the request that is younger than domain.IdempotencyRetention, that one is returned
	// and nothing changes: of concurrent callers all get the answer of one. CodeNotFound when the
	// customer does not exist.
	Keep(ctx context.Context, a domain.Answer) (domain.Answer, error)

	// Find returns the answer to a customer's request. CodeNotFound when there is none younger than
	// domain.IdempotencyRetention.
	Find(ctx context.Context, customer domain.CustomerID, request string) (domain.Answer, error)
}
