package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func answerCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"an answer is kept and found", "Keep stores an answer, its time from the store's clock",
			func(t T, h StoreHarness) {
				f := given(t, h)
				a := domain.Answer{CustomerID: acme, Request: "r", Digest: [32]byte{1}, Body: `{ "results": [1, 2.0] }`}
				kept, err := f.Answers.Keep(t.Context(), a)
				require.NoError(t, err)
				require.False(t, kept.At.IsZero())
				found, err := h.Open().Answers.Find(t.Context(), acme, "r")
				require.NoError(t, err)
				require.Equal(t, kept, found)
				a.At = kept.At
				require.Equal(t, a, found, "the body is kept as it is")
			}},
		{"the first answer stays", "If the customer has an answer to the request, that one is returned",
			func(t T, h StoreHarness) {
				f := given(t, h)
				first := f.keep(acme, "r", 1)
				require.Equal(t, first, f.keep(acme, "r", 2))
				require.NotEqual(t, first.Body, f.keep(acme, "s", 2).Body, "another request")
				require.NotEqual(t, first.Body, f.keep(rival, "r", 3).Body, "another customer's")
			}},
		{"racing callers all get the same answer", "of concurrent callers all get the answer of one",
			func(t T, h StoreHarness) {
				given(t, h)
				kept := race(64, func(i int) domain.Answer {
					a, err := h.Open().Answers.Keep(t.Context(), domain.Answer{
						CustomerID: acme, Request: "r", Digest: [32]byte{byte(i)}, Body: domain.JSON(fmt.Sprint(i)),
					})
					if err != nil {
						return domain.Answer{Body: domain.JSON(err.Error())}
					}
					return a
				})
				require.NotZero(t, kept[0].At)
				require.Equal(t, 64, count(kept, func(a domain.Answer) bool { return a == kept[0] }), kept)
			}},
		{"an answer is forgotten after its retention, and then removed",
			"younger than domain.IdempotencyRetention", func(t T, h StoreHarness) {
				f := given(t, h)
				first := f.keep(acme, "r", 1)
				f.keep(acme, "s", 1)
				f.keep(rival, "r", 1)
				h.Advance(domain.IdempotencyRetention - time.Second)
				require.Equal(t, first, f.keep(acme, "r", 2))
				require.Zero(t, f.purge(domain.KeptIdempotencyKeys, domain.IdempotencyRetention))
				h.Advance(time.Minute)
				_, err := f.Answers.Find(t.Context(), acme, "r")
				requireCode(t, err, domain.CodeNotFound)
				again := f.keep(acme, "r", 2)
				require.NotEqual(t, first.Body, again.Body)
				require.Equal(t, 2, f.purge(domain.KeptIdempotencyKeys, domain.IdempotencyRetention), "the others")
				found, err := f.Answers.Find(t.Context(), acme, "r")
				require.NoError(t, err)
				require.Equal(t, again, found, "the new answer is not removed")
			}},
		{"an answer belongs to a customer", "Find returns the answer to a customer's request. CodeNotFound",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.keep(acme, "r", 1)
				for _, customer := range append(nobody, rival) {
					_, err := f.Answers.Find(t.Context(), customer, "r")
					requireCode(t, err, domain.CodeNotFound)
				}
				for _, customer := range nobody {
					_, err := f.Answers.Keep(t.Context(), domain.Answer{CustomerID: customer, Request: "r", Body: "1"})
					requireCode(t, err, domain.CodeNotFound)
				}
			}},
	}
}

// keep keeps an answer, whose body is n.
func (f *fixture) keep(customer domain.CustomerID, request string, n byte) domain.Answer {
	f.Helper()
	a, err := f.Answers.Keep(f.Context(), domain.Answer{
		CustomerID: customer, Request: request, Digest: [32]byte{n}, Body: domain.JSON(fmt.Sprintf("%q", customer) +
			fmt.Sprint(n)),
	})
	require.NoError(f, err)
	return a
}
