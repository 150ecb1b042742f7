package postgres_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

// Planning takes longer than executing. So a statement is planned once for each connection.
func TestStore_WhenAStatementRepeats_PlansItOnce(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	store := open(t, c.SocketURL(c.Database(t)))
	b := &bench{T: t, sane: store.Stores()}
	_, err := b.sane.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	for n := range 5 {
		_, err := b.sane.Workloads.Submit(t.Context(), []domain.Submission{b.submission()})
		require.NoError(t, err)
		_, err = b.sane.Workloads.GetAny(t.Context(), domain.WorkloadID(fmt.Sprint("wl_", n)))
		require.NoError(t, err)
		_, err = b.sane.Queue.Heads(t.Context(), domain.HeadsQuery{N: 10})
		require.NoError(t, err)
	}
	custom, err := postgres.CustomPlans(t.Context(), store)
	require.NoError(t, err)
	require.Zero(t, custom)
}
