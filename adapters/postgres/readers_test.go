package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// However many of one customer's reads hang, nothing that decides waits for them, nor does
// another customer's read.
func TestReaders_WhenOneCustomersReadsHang_OthersAreServed(t *testing.T) {
	b := newBench(t)
	_, err := b.sane.Customers.Create(t.Context(), domain.Customer{ID: "cust_b", Name: "B", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	held := b.submit(b.sane)
	unlock := b.lock("workload_logs")
	defer unlock()
	reads, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			for reads.Err() == nil {
				_, _ = b.sane.Logs.List(reads, ports.LogQuery{Customer: acme, Workload: held.ID, Limit: 10})
			}
		})
	}
	defer wg.Wait()
	defer stop()
	watch := testfiles.StartStopwatch(t)
	for round := range 20 {
		bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
		what := map[string]func() error{
			"heartbeat": func() error {
				_, err := b.sane.Workers.Heartbeat(bounded, []ports.Beat{{WorkerID: "w", SessionID: "s"}}, lease)
				return err
			},
			"submission": func() error {
				s := b.submission()
				s.CustomerID = "cust_b"
				_, err := b.sane.Workloads.Submit(bounded, []domain.Submission{s})
				return err
			},
			"heads": func() error { _, err := b.sane.Queue.Heads(bounded, domain.HeadsQuery{N: 10}); return err },
			"transition": func() error {
				_, err := b.sane.Workloads.Apply(
					bounded,
					domain.Batch{Epoch: b.epoch, Transitions: []domain.Transition{b.event(held, domain.EventAssign)}},
				)
				return err
			},
			"point read": func() error { _, err := b.sane.Workloads.Get(bounded, acme, held.ID); return err },
			"another's list": func() error {
				_, err := b.sane.Workloads.List(bounded, ports.WorkloadQuery{Customer: "cust_b", Limit: 10})
				return err
			},
			"another's usage": func() error { _, err := b.sane.Statistics.Usage(bounded, "cust_b"); return err },
		}
		for name, do := range what {
			began := watch.Took()
			require.NoError(t, do(), "%s in round %d", name, round)
			require.Less(t, watch.Took()-began, 3*time.Second, "%s in round %d", name, round)
		}
		cancel()
	}
}

func TestReaders_WhenAReadTakesTooLong_SaysSoAndTheServerStops(t *testing.T) {
	b := newBench(t)
	held := b.submit(b.sane)
	unlock := b.lock("workload_logs")
	defer unlock()
	_, err := b.sane.Logs.List(t.Context(), ports.LogQuery{Customer: acme, Workload: held.ID, Limit: 10})
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "took too long")

	gone, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer leave()
	_, err = b.sane.Logs.List(gone, ports.LogQuery{Customer: acme, Workload: held.ID, Limit: 10})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(
		t, func() bool { return b.waiters() == 0 }, 10*time.Second, 20*time.Millisecond, "the server goes on with it",
	)
}

// lock holds a table exclusively until unlock is called.
func (b *bench) lock(table string) (unlock func()) {
	b.Helper()
	c, err := pgx.Connect(b.Context(), b.url)
	require.NoError(b, err)
	_, err = c.Exec(b.Context(), "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
	require.NoError(b, err)
	return sync.OnceFunc(func() { _ = c.Close(context.Background()) })
}

// waiters counts the sessions of the database that wait for a lock.
func (b *bench) waiters() (n int) {
	b.Helper()
	c, err := pgx.Connect(b.Context(), b.url)
	require.NoError(b, err)
	defer func() { _ = c.Close(context.Background()) }()
	require.NoError(b, c.QueryRow(b.Context(),
		"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&n))
	return n
}
