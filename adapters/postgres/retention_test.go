package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// TestMonths_OfAudit_ArePreparedAndDropped lets a year pass, month by month, with an event in each.
func TestMonths_OfAudit_ArePreparedAndDropped(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	store := open(t, c.SocketURL(db))
	s := store.Stores()
	l, _, err := s.Leader.Acquire(t.Context(), "leader", time.Hour)
	require.NoError(t, err)
	_, err = s.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	check := func(what, sql string) {
		t.Helper()
		c.Exec(t, db, fmt.Sprintf("DO $$ BEGIN ASSERT (%s), '%s' ; END $$", sql, what))
	}
	const months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit'::regclass"
	for n := range 14 {
		require.NoError(t, store.Maintain(t.Context()))
		rs, err := s.Workloads.Submit(t.Context(), []domain.Submission{{Spec: domain.Spec{
			ID: domain.WorkloadID(fmt.Sprint("wl_", n)), CustomerID: acme, Type: "t", Input: "{}",
		}}})
		require.NoError(t, err)
		require.Equal(t, domain.Admitted, rs[0].Status)
		for more := true; more; {
			p, err := s.Retention.Purge(t.Context(), l.Epoch, ports.Purge{
				What: domain.KeptAudit, Age: 90 * 24 * time.Hour, Limit: 10,
			})
			require.NoError(t, err)
			more = p.More
		}
		c.Exec(t, db, "UPDATE test_clock SET shift = shift + interval '1 month'")
	}
	check("every event stands in its month", "SELECT count(*) = 0 FROM audit_default")
	check("three months are kept, this one and two to come are there, and the default",
		"SELECT count(*) BETWEEN 3 AND 5 FROM audit")
	check("months whose time is over are dropped", "("+months+") BETWEEN 6 AND 8")
}

func TestPurgeAudit_WhileTheTableIsRead_FailsSoonAndHoldsNobodyUp(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	store := open(t, c.SocketURL(db))
	s := store.Stores()
	l, _, err := s.Leader.Acquire(t.Context(), "leader", time.Hour)
	require.NoError(t, err)
	purge := func() error {
		_, err := s.Retention.Purge(t.Context(), l.Epoch, ports.Purge{What: domain.KeptAudit, Age: time.Hour, Limit: 10})
		return err
	}
	c.Exec(t, db, "UPDATE test_clock SET shift = interval '70 days'")
	conn, err := pgx.Connect(t.Context(), c.SocketURL(db))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	reader, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = reader.Exec(t.Context(), "SELECT count(*) FROM audit")
	require.NoError(t, err)
	began := testfiles.StartStopwatch(t)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(purge()))
	assert.Less(t, began.Took(), 5*time.Second)
	require.NoError(t, reader.Rollback(t.Context()))
	require.NoError(t, purge())
}
