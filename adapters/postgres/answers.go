package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type answers struct{ s *Store }

var (
	answerTable = table[domain.Answer]{"answers", []column[domain.Answer]{
		text("customer_id", func(a *domain.Answer) *domain.CustomerID { return &a.CustomerID }),
		text("request", func(a *domain.Answer) *string { return &a.Request }),
		digest("digest", func(a *domain.Answer) *[32]byte { return &a.Digest }),
		text("body", func(a *domain.Answer) *domain.JSON { return &a.Body }),
		instant("created_at", func(a *domain.Answer) *time.Time { return &a.At }),
	}}
	// keepAnswer returns the row that it writes. It writes none beside one that is still kept. The
	// lock keeps the customer from being removed before this commits.
	keepAnswer = answerTable.insert("created_at") + ` JOIN customers c USING (customer_id)
 FOR KEY SHARE OF c ON CONFLICT (customer_id, request) DO UPDATE SET digest = excluded.digest, body = excluded.body,
  created_at = excluded.created_at WHERE NOT ` + keptAnswer("answers") + " RETURNING " + answerTable.names("answers")
	findAnswer = "SELECT " + answerTable.names("a") + ` FROM answers a
 WHERE a.customer_id = $1::text AND a.request = $2::text AND ` + keptAnswer("a")
)

// keptAnswer is the condition that the answer with this alias is not forgotten.
func keptAnswer(alias string) string {
	return fmt.Sprintf("%s.created_at > niyanta_now() - %d * interval '1 microsecond'", alias,
		domain.IdempotencyRetention.Microseconds())
}

// Keep implements ports.AnswerStore.
func (a answers) Keep(ctx context.Context, answer domain.Answer) (domain.Answer, error) {
	kept, err := query(ctx, a.s.pool, answerTable.scan, keepAnswer, answerTable.args([]*domain.Answer{&answer})...)
	if err != nil {
		return domain.Answer{}, err
	}
	if len(kept) > 0 {
		return kept[0], nil
	}
	// Another one was first, or there is no such customer.
	found, err := a.Find(ctx, answer.CustomerID, answer.Request)
	if domain.IsCode(err, domain.CodeNotFound) {
		err = domain.NotFound("customer")
	}
	return found, err
}

// Find implements ports.AnswerStore.
func (a answers) Find(ctx context.Context, customer domain.CustomerID, request string) (domain.Answer, error) {
	found, err := query(ctx, a.s.pool, answerTable.scan, findAnswer, string(customer), request)
	if err != nil {
		return domain.Answer{}, err
	}
	if len(found) == 0 {
		return domain.Answer{}, domain.NotFound("answer")
	}
	return found[0], nil
}
