package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/core/domain"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// waits counts the rows of waiting.
func waits(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM waiting").Scan(&n))
	return n
}

// TestCancel_WhileTheWorkloadIsPromoted_LeavesNothingInTheQueue cancels a delayed workload while another
// transaction moves it to what waits.
func TestCancel_WhileTheWorkloadIsPromoted_LeavesNothingInTheQueue(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	sub := b.submission()
	sub.RunAt = time.Now().Add(time.Hour)
	_, err := b.sane.Workloads.Submit(ctx, []domain.Submission{sub})
	require.NoError(t, err)
	conn, other := connect(t, b.url), connect(t, b.url)
	_, err = conn.Exec(ctx, "UPDATE delayed SET not_before = niyanta_now() - interval '1 s'")
	require.NoError(t, err)

	promotion, err := conn.Begin(ctx)
	require.NoError(t, err)
	moved, err := promotion.Exec(ctx, postgres.Promote, postgres.PromoteLimit)
	require.NoError(t, err)
	require.EqualValues(t, 1, moved.RowsAffected())
	cancelled := make(chan error, 1)
	go func() {
		_, err := b.sane.Workloads.Apply(ctx, domain.Batch{Transitions: []domain.Transition{
			{WorkloadID: sub.ID, CustomerID: sub.CustomerID, Event: domain.EventCancel},
		}})
		cancelled <- err
	}()
	require.Eventually(t, func() bool {
		var blocked int
		return other.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "+
			"current_database()").Scan(&blocked) == nil && blocked == 1
	}, 30*time.Second, 5*time.Millisecond, "the cancel waits for the promotion")
	require.NoError(t, promotion.Commit(ctx))
	require.NoError(t, <-cancelled)
	assert.Zero(t, waits(t, conn))
}

// TestAssign_OfWhatStandsInTheQueueButDoesNotWait_RemovesItThere: a version before could leave it there.
func TestAssign_OfWhatStandsInTheQueueButDoesNotWait_RemovesItThere(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	sub := b.submission()
	_, err := b.sane.Workloads.Submit(ctx, []domain.Submission{sub})
	require.NoError(t, err)
	conn := connect(t, b.url)
	_, err = conn.Exec(ctx, "CREATE TEMP TABLE left_over AS SELECT * FROM waiting")
	require.NoError(t, err)
	_, err = b.sane.Workloads.Apply(ctx, domain.Batch{Transitions: []domain.Transition{
		{WorkloadID: sub.ID, CustomerID: sub.CustomerID, Event: domain.EventCancel},
	}})
	require.NoError(t, err)
	require.Zero(t, waits(t, conn))
	_, err = conn.Exec(ctx, "INSERT INTO waiting SELECT * FROM left_over")
	require.NoError(t, err)
	rs, err := b.sane.Workloads.Apply(ctx, domain.Batch{Epoch: b.epoch, Transitions: []domain.Transition{
		{WorkloadID: sub.ID, CustomerID: sub.CustomerID, Event: domain.EventAssign, Generation: 1, WorkerID: "w",
			SessionID: "s"},
	}})
	require.NoError(t, err)
	require.False(t, rs[0].Outcome.OK())
	assert.Zero(t, waits(t, conn))
}
