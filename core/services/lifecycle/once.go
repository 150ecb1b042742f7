package lifecycle

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// RepeatableRequest is a request that may be repeated with the same answer.
type RepeatableRequest struct {
	// Key is the idempotency key that the client sent; empty: none, and nothing is repeated.
	Key string
	// Operation names what is asked for. The same key for another operation is another key.
	Operation string
	// Digest is that of the body. The same key with another body is a conflict.
	Digest [32]byte
}

// Once returns the answer to a request of a customer. A request that was answered before gets that
// answer again. Otherwise do makes the answer, and it is kept. do may be called by several requests
// at the same time, and again if a coordinator dies before it has kept the answer: do must be safe
// to repeat under the key. All of them get the answer that was kept first. CodeConflict when the key
// was used with another body. An error of do is not kept.
func (s *Service) Once(
	ctx context.Context, customer domain.CustomerID, req RepeatableRequest, do func() (domain.JSON, error),
) (domain.JSON, error) {
	if req.Key == "" {
		return do()
	}
	answer := domain.Answer{
		CustomerID: customer, Request: domain.RequestID(req.Key, req.Operation), Digest: req.Digest,
	}
	first, err := s.deps.Answers.Find(ctx, customer, answer.Request)
	switch {
	case err == nil && first.Digest != req.Digest:
		return "", errOtherBody()
	case err == nil:
		return first.Body, nil
	case !domain.IsCode(err, domain.CodeNotFound):
		return "", err
	}
	if answer.Body, err = do(); err != nil {
		return "", err
	}
	// A client that has given up repeats the request: it is to find what was done.
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer stop()
	kept, err := s.deps.Answers.Keep(keep, answer)
	if err != nil {
		return "", err
	}
	if kept.Digest != req.Digest {
		return "", errOtherBody()
	}
	return kept.Body, nil
}

// keepFor is how long storing an answer may take, also when the client has given up.
const keepFor = 5 * time.Second

func errOtherBody() error {
	return domain.NewError(domain.CodeConflict, "this Idempotency-Key was used with another body").
		With("field", "Idempotency-Key")
}
