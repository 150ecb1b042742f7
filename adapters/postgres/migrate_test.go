package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

func TestMigrate_WithData_GoesUpDownAndUp(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	url := c.SocketURL(c.EmptyDatabase(t))
	n, err := postgres.MigrateUp(t.Context(), url, silent)
	require.NoError(t, err)
	require.Positive(t, n)
	s := open(t, url).Stores()
	_, err = s.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	_, err = s.Workloads.Submit(
		t.Context(), []domain.Submission{{Spec: domain.Spec{ID: "wl_1", CustomerID: acme, Type: "t", Input: "{}"}}},
	)
	require.NoError(t, err)

	again, err := postgres.MigrateUp(t.Context(), url, silent)
	require.NoError(t, err)
	assert.Zero(t, again, "up again changes nothing")
	found, err := s.Workloads.Get(t.Context(), acme, "wl_1")
	require.NoError(t, err)
	assert.Len(t, found, 1)

	for range n {
		version, err := postgres.MigrateDown(t.Context(), url, silent)
		require.NoError(t, err)
		assert.Positive(t, version)
	}
	version, err := postgres.MigrateDown(t.Context(), url, silent)
	require.NoError(t, err)
	assert.Zero(t, version, "nothing is left")
	status, err := postgres.MigrateStatus(t.Context(), url, silent)
	require.NoError(t, err)
	require.Len(t, status, n)
	assert.True(t, status[0].AppliedAt.IsZero())

	n2, err := postgres.MigrateUp(t.Context(), url, silent)
	require.NoError(t, err)
	assert.Equal(t, n, n2)
	_, err = open(t, url).Stores().Customers.Create(
		t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree},
		domain.Admin{KeyID: "key_admin"},
	)
	require.NoError(t, err)
}

func TestMigrateUp_WhenManyStartOnAnEmptyDatabase_AppliesEachMigrationOnce(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	for _, through := range []string{"direct", "pooler"} {
		db := c.EmptyDatabase(t)
		url := c.SocketURL(db)
		if through == "pooler" {
			url = c.Pooler(t, db)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := 0
		start := make(chan struct{})
		for range 6 {
			wg.Go(func() {
				<-start
				n, err := postgres.MigrateUp(t.Context(), url, silent)
				assert.NoError(t, err, through) //nolint:testifylint // in a goroutine
				mu.Lock()
				defer mu.Unlock()
				total += n
			})
		}
		close(start)
		wg.Wait()
		status, err := postgres.MigrateStatus(t.Context(), url, silent)
		require.NoError(t, err)
		assert.Equal(t, len(status), total, "each migration once (%s)", through)
	}
}

func TestMigrate_LanesByPriorityDownAndUp_KeepsTheQueue(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	url := c.SocketURL(c.EmptyDatabase(t))
	_, err := postgres.MigrateUp(t.Context(), url, silent)
	require.NoError(t, err)
	s := open(t, url).Stores()
	_, err = s.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	var batch []domain.Submission
	for n, priority := range []int{10, 20, 10, 0} {
		batch = append(batch, domain.Submission{Spec: domain.Spec{
			ID: domain.WorkloadID(fmt.Sprint("wl_", n)), CustomerID: acme, Type: "t", Input: "{}", Priority: priority,
			Run: domain.DefaultRunConfig(),
		}})
	}
	batch[3].RunAt = time.Now().Add(time.Hour)
	_, err = s.Workloads.Submit(t.Context(), batch)
	require.NoError(t, err)
	look := func() ([]domain.LaneHeads, time.Duration, []domain.Workload) {
		s := open(t, url).Stores()
		heads, err := s.Queue.Heads(t.Context(), domain.HeadsQuery{N: 10})
		require.NoError(t, err)
		due, ok, err := s.Queue.NextDue(t.Context())
		require.NoError(t, err)
		require.True(t, ok)
		ws, err := s.Workloads.Get(t.Context(), acme, "wl_0", "wl_1", "wl_2", "wl_3")
		require.NoError(t, err)
		return heads.Lanes, due, ws
	}
	heads, due, ws := look()
	require.Len(t, heads, 2)
	for version := int64(0); version != 2; {
		version, err = postgres.MigrateDown(t.Context(), url, silent)
		require.NoError(t, err)
		require.NotZero(t, version)
	}
	_, err = postgres.MigrateUp(t.Context(), url, silent)
	require.NoError(t, err)
	heads2, due2, ws2 := look()
	assert.Equal(t, heads, heads2)
	assert.InDelta(t, due, due2, float64(5*time.Minute))
	assert.Equal(t, ws, ws2)
}
