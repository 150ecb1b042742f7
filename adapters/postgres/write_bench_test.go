//go:build linux

package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

// BenchmarkWritePath submits workloads, assigns them, and starts and completes them, each in batches
// through the store. The figures are the processor time for each workload, in the database and in
// this process. They depend little on what else the machine does. It reads /proc.
func BenchmarkWritePath(b *testing.B) {
	const batch, batches = 400, 50
	c, err := servers.StartPostgres(true, "shared_buffers=1GB", "max_wal_size=8GB")
	require.NoError(b, err)
	b.Cleanup(c.Remove)
	url := c.SocketURL("postgres")
	_, err = postgres.MigrateUp(b.Context(), url, silent)
	require.NoError(b, err)
	s := open(b, url).Stores()
	_, err = s.Customers.Create(b.Context(), domain.Customer{
		ID: acme, Name: "A", Tier: domain.TierEnterprise,
		Overrides: domain.Limits{MaxConcurrent: 1_000_000, MaxQueueDepth: 10_000_000},
	}, domain.Admin{KeyID: "key_admin"})
	require.NoError(b, err)
	l, _, err := s.Leader.Acquire(b.Context(), "leader", time.Hour)
	require.NoError(b, err)
	_, err = s.Workers.Register(b.Context(), domain.Registration{
		WorkerID: "worker-0123456789", SessionID: "session-0123456789abcdef", Capabilities: []string{"t"}, Slots: batch,
	}, time.Hour)
	require.NoError(b, err)

	watch, err := pgx.Connect(b.Context(), url)
	require.NoError(b, err)
	defer func() { require.NoError(b, watch.Close(b.Context())) }()
	spent := map[string][2]time.Duration{}
	measure := func(phase string, f func()) {
		database, process := databaseTime(b, watch), processTime()
		f()
		d := spent[phase]
		spent[phase] = [2]time.Duration{d[0] + databaseTime(b, watch) - database, d[1] + processTime() - process}
	}
	id := func(round, n int) domain.WorkloadID { return domain.WorkloadID(fmt.Sprintf("wl_%08d%018d", round, n)) }
	apply := func(round, first int, events ...domain.Event) {
		var ts []domain.Transition
		for n := first; n < first+batch; n++ {
			for _, e := range events {
				ts = append(ts, domain.Transition{
					WorkloadID: id(round, n), CustomerID: acme, Event: e, Generation: 1, Result: `{"done":true}`,
					WorkerID: "worker-0123456789", SessionID: "session-0123456789abcdef",
					Actor: domain.Actor{Kind: domain.ActorWorker, ID: "worker-0123456789"},
				})
			}
		}
		rs, err := s.Workloads.Apply(b.Context(), domain.Batch{Epoch: l.Epoch, Transitions: ts})
		require.NoError(b, err)
		for _, r := range rs {
			require.Equal(b, domain.OutcomeApplied, r.Outcome, r.Reason)
		}
	}
	round := 0
	for b.Loop() {
		round++
		for first := 0; first < batch*batches; first += batch {
			subs := make([]domain.Submission, batch)
			for n := range subs {
				subs[n].Spec = domain.Spec{ID: id(round, first+n), CustomerID: acme, Type: "t", Input: `{"duration_ms":0}`,
					Run: domain.DefaultRunConfig()}
				subs[n].Actor = domain.Actor{Kind: domain.ActorUser, ID: "key_0123456789"}
			}
			measure("submit", func() {
				_, err := s.Workloads.Submit(b.Context(), subs)
				require.NoError(b, err)
			})
		}
		for first := 0; first < batch*batches; first += batch {
			measure("assign", func() { apply(round, first, domain.EventAssign) })
			measure("report", func() { apply(round, first, domain.EventStart, domain.EventComplete) })
		}
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(batch*batches*b.N) }
	for phase, d := range spent {
		b.ReportMetric(per(d[0]), phase+"-db-µs")
		b.ReportMetric(per(d[1]), phase+"-go-µs")
	}
}

// databaseTime is the processor time that the backends of the database have used, but that of watch.
func databaseTime(b *testing.B, watch *pgx.Conn) (sum time.Duration) {
	b.Helper()
	rows, err := watch.Query(b.Context(), `SELECT pid FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	require.NoError(b, err)
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(b, err)
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "schedstat"))
		require.NoError(b, err)
		var ran time.Duration
		_, err = fmt.Sscan(string(text), (*int64)(&ran))
		require.NoError(b, err)
		sum += ran
	}
	return sum
}

// processTime is the processor time that this process has used.
func processTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
