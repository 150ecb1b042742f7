package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	acme  = domain.CustomerID("cust_acme")
	lease = 20 * time.Second
)

// bench has a store behind a proxy (faulty), and one beside it (sane) that sees what is true.
type bench struct {
	*testing.T
	proxy        *netfault.Proxy
	faulty, sane ports.Stores
	url          string // of the database itself
	exec         func(sql string)
	epoch        int64
	worker       domain.Worker
	n            int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c := servers.SharedPostgres(t, prepare)
	return newBenchOn(t, c, c.Database(t))
}

func newBenchOn(t *testing.T, c *servers.Postgres, db string) *bench {
	t.Helper()
	b := &bench{T: t, proxy: netfault.NewProxy(t, c.Port)}
	// Nothing prepared: the texts of statements pass by the proxy each time.
	b.faulty = open(t, fmt.Sprintf("postgres://niyanta@127.0.0.1:%d/%s?sslmode=disable&default_query_exec_mode=exec",
		b.proxy.Port, db)).Stores()
	b.sane = open(t, c.SocketURL(db)).Stores()
	b.url = c.SocketURL(db)
	b.exec = func(sql string) { c.Exec(t, db, sql) }
	_, err := b.sane.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	l, _, err := b.sane.Leader.Acquire(t.Context(), "leader", time.Hour)
	require.NoError(t, err)
	b.epoch = l.Epoch
	b.worker, err = b.sane.Workers.Register(
		t.Context(), domain.Registration{WorkerID: "w", SessionID: "s", Capabilities: []string{"t"}, Slots: 10}, lease,
	)
	require.NoError(t, err)
	return b
}

func (b *bench) submission() domain.Submission {
	b.n++
	return domain.Submission{Spec: domain.Spec{
		ID: domain.WorkloadID(fmt.Sprintf("wl_%d", b.n)), CustomerID: acme, Type: "t", Input: "{}",
		Run: domain.DefaultRunConfig(),
	}}
}

func (b *bench) submit(s ports.Stores) domain.Workload {
	b.Helper()
	rs, err := s.Workloads.Submit(b.Context(), []domain.Submission{b.submission()})
	require.NoError(b, err)
	require.Equal(b, domain.Admitted, rs[0].Status)
	return rs[0].Workload
}

func (b *bench) event(w domain.Workload, e domain.Event) domain.Transition {
	t := domain.Transition{WorkloadID: w.ID, Event: e, Generation: 1, SessionID: "s", WorkerID: "w"}
	if e == domain.EventCheckpoint {
		t.CheckpointSequence = 1
	}
	return t
}

func (b *bench) trail(w domain.Workload) int {
	b.Helper()
	es, err := b.sane.Audit.Workload(b.Context(), acme, w.ID, 0, 100)
	require.NoError(b, err)
	return len(es)
}

// A commit of unknown outcome is resolved by asking, never repeated blindly. Whatever is lost,
// each write happens once and is answered as what it was.
func TestCommit_WhenItsAnswerIsLost_HappensOnce(t *testing.T) {
	for name, harm := range map[string]func(p *netfault.Proxy){
		"the answer is lost":            func(p *netfault.Proxy) { p.CutAnswer("COMMIT\x00") },
		"the commit never arrives":      func(p *netfault.Proxy) { p.CutRequest("COMMIT\x00") },
		"the connection was cut idle":   func(p *netfault.Proxy) { p.Cut() },
		"the first read gets no answer": func(p *netfault.Proxy) { p.CutRequest("BEGIN\x00") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			before := func() { harm(b.proxy) }
			retry := name == "the first read gets no answer" || name == "the connection was cut idle"
			// What surely had no effect may surface as an error that says so; trying again is the
			// caller's business.
			attempt := func(f func() error) {
				before()
				err := f()
				if retry && err != nil {
					require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "%v", err)
					err = f()
				}
				require.NoError(t, err)
			}
			sub := b.submission()
			attempt(func() error {
				rs, err := b.faulty.Workloads.Submit(t.Context(), []domain.Submission{sub})
				if err == nil {
					require.Equal(t, domain.Admitted, rs[0].Status)
				}
				return err
			})
			found, err := b.sane.Workloads.Get(t.Context(), acme, sub.ID)
			require.NoError(t, err)
			require.Len(t, found, 1)
			w := found[0]
			require.Equal(t, 1, b.trail(w))
			for i, e := range []domain.Event{domain.EventAssign, domain.EventStart, domain.EventCheckpoint,
				domain.EventComplete} {
				attempt(func() error {
					if e == domain.EventCheckpoint {
						r, err := b.faulty.Checkpoints.Save(
							t.Context(), b.event(w, e), domain.Checkpoint{Size: 1}, []byte("x"),
						)
						if err == nil {
							require.Equal(t, domain.OutcomeApplied, r.Outcome)
						}
						return err
					}
					rs, err := b.faulty.Workloads.Apply(
						t.Context(), domain.Batch{Epoch: b.epoch, Transitions: []domain.Transition{b.event(w, e)}},
					)
					if err == nil {
						require.Equal(t, domain.OutcomeApplied, rs[0].Outcome, "%s: %s", e, rs[0].Reason)
					}
					return err
				})
				require.Equal(t, i+2, b.trail(w), "%s is audited once", e)
			}
			unwanted := b.submit(b.sane)
			attempt(func() error {
				rs, err := b.faulty.Workloads.Apply(t.Context(), domain.Batch{Transitions: []domain.Transition{
					{WorkloadID: unwanted.ID, CustomerID: acme, Event: domain.EventCancel, Request: "r"},
				}})
				if err == nil {
					require.Equal(t, domain.OutcomeApplied, rs[0].Outcome, "the store's retry within one request")
				}
				return err
			})
			require.Equal(t, 2, b.trail(unwanted))
			attempt(func() error {
				rs, err := b.faulty.Workers.Heartbeat(t.Context(), []ports.Beat{{WorkerID: "w", SessionID: "s"}}, lease)
				if err == nil {
					require.Equal(t, domain.SessionCurrent, rs[0].Status)
				}
				return err
			})
			if !retry {
				assert.Equal(t, 7, b.proxy.Cuts(), "each commit was harmed")
			}
		})
	}
}

// After a crash the server gives out again the ids of transactions that never reached its disk.
// By then an id may be another transaction's, so the outcome of a commit must not be read from
// it.
func TestCommit_WhenACrashUndidIt_IsNotTakenForAnother(t *testing.T) {
	c, err := servers.StartPostgres(true, "fsync=off") // the machine does not crash
	require.NoError(t, err)
	t.Cleanup(c.Remove)
	require.NoError(t, prepare(c.SocketURL("postgres")))
	b := newBenchOn(t, c, "postgres")
	b.submit(b.faulty) // connections are made
	sub := b.submission()
	b.proxy.DownAfterCut()
	b.proxy.CutRequest("COMMIT\x00")
	answered := make(chan error, 1)
	go func() {
		rs, err := b.faulty.Workloads.Submit(t.Context(), []domain.Submission{sub})
		if err == nil && rs[0].Status != domain.Admitted {
			err = fmt.Errorf("status %d", rs[0].Status)
		}
		answered <- err
	}()
	require.Eventually(t, func() bool { return b.proxy.Cuts() == 1 }, 30*time.Second, time.Millisecond)
	c.Stop(true)
	require.NoError(t, c.Start())
	for range 50 { // among them the lost one's
		c.Exec(t, "postgres", "SELECT pg_current_xact_id()")
	}
	b.proxy.Up()
	require.NoError(t, <-answered, "it is run again")
	sane := open(t, c.SocketURL("postgres")).Stores()
	found, err := sane.Workloads.Get(t.Context(), acme, sub.ID)
	require.NoError(t, err)
	require.Len(t, found, 1, "acknowledged, so it exists")
}

func TestStore_WhenTheDatabaseIsDisconnected_SaysUnavailableUntilItIsBack(t *testing.T) {
	b := newBench(t)
	w := b.submit(b.faulty)
	b.proxy.Down()
	_, err := b.faulty.Workloads.Get(t.Context(), acme, w.ID)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "%v", err)
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	assert.Positive(t, e.RetryAfter)
	assert.NotContains(t, e.Message, "127.0.0.1", "what clients read does not name hosts")
	b.proxy.Up()
	back := testfiles.StartStopwatch(t)
	require.Eventually(t, func() bool {
		_, err := b.faulty.Workloads.Get(t.Context(), acme, w.ID)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	assert.Less(t, back.Took(), 5*time.Second)
}

// Two coordinators' batches that touch the same workloads in opposite order must not fail each
// other.
func TestApply_BatchesInOppositeOrder_DoNotDeadlock(t *testing.T) {
	b := newBench(t)
	var ws []domain.Workload
	for range 40 {
		ws = append(ws, b.submit(b.sane))
	}
	errs := make(chan error, 8)
	for n := range 8 {
		go func() {
			var ts []domain.Transition
			for i := range ws {
				k := i
				if n%2 == 0 {
					k = len(ws) - 1 - i
				}
				ts = append(
					ts,
					domain.Transition{WorkloadID: ws[k].ID, CustomerID: ws[k].CustomerID, Event: domain.EventCancel},
				)
			}
			s := b.sane
			if n >= 4 {
				s = b.faulty
			}
			_, err := s.Workloads.Apply(t.Context(), domain.Batch{Transitions: ts})
			errs <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	for _, w := range ws {
		require.Equal(t, 2, b.trail(w))
	}
}

func TestOpen_ABadURL_IsRefusedWithoutShowingIt(t *testing.T) {
	_, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://user:hunter2@:bad/", Log: silent})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}
