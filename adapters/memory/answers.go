package memory

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

type answers struct{ s *Store }

// Keep implements ports.AnswerStore.
func (a answers) Keep(ctx context.Context, answer domain.Answer) (domain.Answer, error) {
	if err := ctx.Err(); err != nil {
		return domain.Answer{}, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	t, now := a.s.customers[answer.CustomerID], a.s.now()
	if t == nil {
		return domain.Answer{}, domain.NotFound("customer")
	}
	if first := t.answers[answer.Request]; first != nil && !first.Forgotten(now) {
		return *first, nil
	}
	answer.At = now
	t.answers[answer.Request] = &answer
	a.s.answers = append(a.s.answers, &answer)
	return answer, nil
}

// Find implements ports.AnswerStore.
func (a answers) Find(ctx context.Context, customer domain.CustomerID, request string) (domain.Answer, error) {
	if err := ctx.Err(); err != nil {
		return domain.Answer{}, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if t := a.s.customers[customer]; t != nil {
		if found := t.answers[request]; found != nil && !found.Forgotten(a.s.now()) {
			return *found, nil
		}
	}
	return domain.Answer{}, domain.NotFound("answer")
}
