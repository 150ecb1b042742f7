package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// lifetime is that of the tickets of the cases.
const lifetime = 40 * time.Second

func ticketCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a ticket is redeemed once", "Redeem removes the ticket with that digest and returns it",
			func(t T, h StoreHarness) {
				f := given(t, h)
				made := f.ticket(1)
				require.WithinDuration(t, f.now(), made.CreatedAt, time.Minute, "the store's clock")
				f.ticket(2)
				redeemed, err := h.Open().Tickets.Redeem(t.Context(), made.Digest, lifetime)
				require.NoError(t, err)
				require.Equal(t, made, redeemed)
				require.Equal(t, domain.KeyID("key_1"), redeemed.KeyID)
				require.Equal(t, "nyt_cust_acme_01234567", redeemed.KeyPrefix)
				for _, digest := range [][32]byte{made.Digest, {3}, {}} {
					_, err = f.Tickets.Redeem(t.Context(), digest, lifetime)
					requireCode(t, err, domain.CodeNotFound)
				}
				_, err = f.Tickets.Redeem(t.Context(), [32]byte{2}, lifetime)
				require.NoError(t, err, "the other one")
			}},
		{"of many who redeem a ticket one gets it", "Of concurrent callers, on whatever handles, at most one gets it",
			func(t T, h StoreHarness) {
				f := given(t, h)
				made := f.ticket(1)
				errs := race(64, func(int) error {
					_, err := h.Open().Tickets.Redeem(t.Context(), made.Digest, lifetime)
					return err
				})
				require.Equal(t, 1, count(errs, func(err error) bool { return err == nil }), "%v", errs)
				require.Equal(t, 63, count(errs, func(err error) bool { return domain.IsCode(err, domain.CodeNotFound) }))
			}},
		{"a ticket exists once", "CodeConflict when the digest exists", func(t T, h StoreHarness) {
			f := given(t, h)
			made := f.ticket(1)
			_, err := f.Tickets.Create(t.Context(), domain.Ticket{Digest: made.Digest, KeyID: "key_2"})
			requireCode(t, err, domain.CodeConflict)
			redeemed, err := f.Tickets.Redeem(t.Context(), made.Digest, lifetime)
			require.NoError(t, err)
			require.Equal(t, made, redeemed)
		}},
		{"a ticket expires, and is then removed", "CodeNotFound when it is as old as the lifetime by the store's clock",
			func(t T, h StoreHarness) {
				f := given(t, h)
				early, late := f.ticket(1), f.ticket(2)
				h.Advance(lifetime - 10*time.Second)
				_, err := f.Tickets.Redeem(t.Context(), early.Digest, lifetime)
				require.NoError(t, err)
				require.Zero(t, f.purge(domain.KeptTickets, lifetime))
				h.Advance(15 * time.Second)
				f.ticket(3)
				_, err = f.Tickets.Redeem(t.Context(), late.Digest, lifetime)
				requireCode(t, err, domain.CodeNotFound)
				require.Equal(t, 1, f.purge(domain.KeptTickets, lifetime))
				_, err = f.Tickets.Redeem(t.Context(), [32]byte{3}, lifetime)
				require.NoError(t, err, "a young one stays")
			}},
	}
}

// ticket stores a ticket whose digest begins with n.
func (f *fixture) ticket(n byte) domain.Ticket {
	f.Helper()
	t, err := f.Tickets.Create(f.Context(), domain.Ticket{
		Digest: [32]byte{n}, KeyID: "key_1", KeyPrefix: "nyt_cust_acme_01234567",
	})
	require.NoError(f, err)
	return t
}
