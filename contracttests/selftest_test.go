package contracttests_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// note implements contracttests.T. It records failures.
type note struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (n *note) Errorf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failures = append(n.failures, fmt.Sprintf(format, args...))
}
func (n *note) FailNow()                 { runtime.Goexit() }
func (n *note) Helper()                  {}
func (n *note) Cleanup(f func())         { n.cleanups = append(n.cleanups, f) }
func (n *note) Context() context.Context { return n.ctx }

// fails reports whether a case fails on a harness.
func fails(t *testing.T, c contracttests.Case[contracttests.StoreHarness], h contracttests.StoreHarness) bool {
	t.Helper()
	n := &note{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(n, h)
	}()
	<-done
	for _, f := range n.cleanups {
		f()
	}
	return len(n.failures) > 0
}

type steppedClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steppedClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// defective returns a harness on memory with a defect planted in every handle.
func defective(plant func(*ports.Stores)) contracttests.StoreHarness {
	clock := &steppedClock{now: time.Unix(1_700_000_000, 0)}
	s := memory.NewStore(clock)
	return contracttests.StoreHarness{Advance: clock.advance, Open: func() ports.Stores {
		st := s.Stores()
		plant(&st)
		return st
	}}
}

// workloads overrides single methods of a WorkloadStore.
type workloads struct {
	ports.WorkloadStore
	submit func(context.Context, []domain.Submission) ([]ports.SubmitResult, error)
	apply  func(context.Context, domain.Batch) ([]domain.Result, error)
	get    func(context.Context, domain.CustomerID, ...domain.WorkloadID) ([]domain.Workload, error)
	getAny func(context.Context, ...domain.WorkloadID) ([]domain.Workload, error)
}

func (w workloads) Submit(ctx context.Context, b []domain.Submission) ([]ports.SubmitResult, error) {
	if w.submit != nil {
		return w.submit(ctx, b)
	}
	return w.WorkloadStore.Submit(ctx, b)
}

func (w workloads) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	if w.apply != nil {
		return w.apply(ctx, b)
	}
	return w.WorkloadStore.Apply(ctx, b)
}

func (w workloads) Get(ctx context.Context, c domain.CustomerID, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if w.get != nil {
		return w.get(ctx, c, ids...)
	}
	return w.WorkloadStore.Get(ctx, c, ids...)
}

func (w workloads) GetAny(ctx context.Context, ids ...domain.WorkloadID) ([]domain.Workload, error) {
	if w.getAny != nil {
		return w.getAny(ctx, ids...)
	}
	return w.WorkloadStore.GetAny(ctx, ids...)
}

// unguarded replaces the guard of a worker's transition by the one that the store expects.
func unguarded(ctx context.Context, s ports.WorkloadStore, t *domain.Transition) {
	found, err := s.GetAny(ctx, t.WorkloadID)
	if r, ok := domain.RuleFor(t.Event); ok && err == nil && len(found) == 1 && r.Source == domain.FromWorker {
		t.Generation, t.SessionID = found[0].Generation, found[0].SessionID
	}
}

type checkpoints struct {
	ports.CheckpointStore
	save func(context.Context, domain.Transition, domain.Checkpoint, []byte) (domain.Result, error)
}

func (c checkpoints) Save(
	ctx context.Context, t domain.Transition, cp domain.Checkpoint, b []byte,
) (domain.Result, error) {
	return c.save(ctx, t, cp, b)
}

type workerStore struct {
	ports.WorkerStore
	heartbeat func(context.Context, []ports.Beat, time.Duration) ([]ports.BeatResult, error)
}

func (w workerStore) Heartbeat(ctx context.Context, b []ports.Beat, d time.Duration) ([]ports.BeatResult, error) {
	return w.heartbeat(ctx, b, d)
}

type auditStore struct {
	ports.AuditStore
	without domain.AuditType
}

func (a auditStore) Workload(ctx context.Context, c domain.CustomerID, id domain.WorkloadID, after int64,
	limit int) ([]domain.AuditEvent, error) {
	es, err := a.AuditStore.Workload(ctx, c, id, after, limit)
	var kept []domain.AuditEvent
	for _, e := range es {
		if e.Type != a.without {
			kept = append(kept, e)
		}
	}
	return kept, err
}

type lease struct {
	ports.LeaderLease
	acquire func(context.Context, string, time.Duration) (ports.Leadership, bool, error)
}

func (l lease) Acquire(ctx context.Context, holder string, ttl time.Duration) (ports.Leadership, bool, error) {
	return l.acquire(ctx, holder, ttl)
}

// retention ignores the epoch of a purge, and uses the leader's.
type retention struct {
	ports.RetentionStore
	leader ports.LeaderLease
}

func (r retention) Purge(ctx context.Context, _ int64, p ports.Purge) (ports.Purged, error) {
	l, _, err := r.leader.Acquire(ctx, "somebody", time.Hour)
	if err != nil {
		return ports.Purged{}, err
	}
	return r.RetentionStore.Purge(ctx, l.Epoch, p)
}

// defects are planted one at a time. The case that a defect names must fail.
var defects = []struct {
	name, caughtBy string
	plant          func(*ports.Stores)
}{
	{"lost acknowledgement: accepted, not stored", "a submission is kept with every field", func(s *ports.Stores) {
		s.Workloads = workloads{WorkloadStore: s.Workloads, submit: func(_ context.Context,
			b []domain.Submission) ([]ports.SubmitResult, error) {
			out := make([]ports.SubmitResult, len(b))
			for i := range b {
				out[i].Workload, _ = domain.NewWorkload(b[i], nil, time.Unix(1, 0))
			}
			return out, nil
		}}
	}},
	{"two winners: the loser is told that it won", "of complete, cancel and lose exactly one wins", func(s *ports.Stores) {
		inner := s.Workloads
		s.Workloads = workloads{WorkloadStore: inner, apply: func(ctx context.Context,
			b domain.Batch) ([]domain.Result, error) {
			rs, err := inner.Apply(ctx, b)
			for i := range rs {
				if rs[i].Outcome == domain.OutcomeFenced {
					rs[i].Outcome = domain.OutcomeApplied
				}
			}
			return rs, err
		}}
	}},
	{"generation predicate dropped", "reports of an older generation are fenced", func(s *ports.Stores) {
		inner := s.Workloads
		s.Workloads = workloads{WorkloadStore: inner, apply: func(ctx context.Context,
			b domain.Batch) ([]domain.Result, error) {
			for i := range b.Transitions {
				unguarded(ctx, inner, &b.Transitions[i])
			}
			return inner.Apply(ctx, b)
		}}
	}},
	{"unfenced checkpoint", "a fenced checkpoint is not stored", func(s *ports.Stores) {
		inner, ws := s.Checkpoints, s.Workloads
		s.Checkpoints = checkpoints{inner, func(ctx context.Context, t domain.Transition, c domain.Checkpoint,
			b []byte) (domain.Result, error) {
			unguarded(ctx, ws, &t)
			r, err := inner.Save(ctx, t, c, b)
			r.Outcome = domain.OutcomeApplied
			return r, err
		}}
	}},
	{"epoch unchecked", "a stale epoch applies nothing of its batch", func(s *ports.Stores) {
		inner, leader := s.Workloads, s.Leader
		s.Workloads = workloads{WorkloadStore: inner, apply: func(ctx context.Context,
			b domain.Batch) ([]domain.Result, error) {
			if l, _, err := leader.Acquire(ctx, "somebody", time.Hour); err == nil {
				b.Epoch = l.Epoch
			}
			return inner.Apply(ctx, b)
		}}
	}},
	{"epoch that stands still", "epochs grow with every change of leader", func(s *ports.Stores) {
		inner := s.Leader
		s.Leader = lease{inner, func(ctx context.Context, holder string, ttl time.Duration) (ports.Leadership, bool, error) {
			l, held, err := inner.Acquire(ctx, holder, ttl)
			l.Epoch = 1
			return l, held, err
		}}
	}},
	{"every candidate is elected", "of many racers one becomes leader", func(s *ports.Stores) {
		inner := s.Leader
		s.Leader = lease{inner, func(ctx context.Context, holder string, ttl time.Duration) (ports.Leadership, bool, error) {
			l, _, err := inner.Acquire(ctx, holder, ttl)
			return l, true, err
		}}
	}},
	{"tenant leak in reads", "no customer sees workloads of another", func(s *ports.Stores) {
		inner := s.Workloads
		s.Workloads = workloads{WorkloadStore: inner, get: func(ctx context.Context, _ domain.CustomerID,
			ids ...domain.WorkloadID) ([]domain.Workload, error) {
			return inner.GetAny(ctx, ids...)
		}}
	}},
	{"tenant leak in writes", "another customer's workload is not there", func(s *ports.Stores) {
		inner := s.Workloads
		s.Workloads = workloads{WorkloadStore: inner, apply: func(ctx context.Context,
			b domain.Batch) ([]domain.Result, error) {
			for i := range b.Transitions {
				if found, err := inner.GetAny(ctx, b.Transitions[i].WorkloadID); err == nil && len(found) == 1 {
					b.Transitions[i].CustomerID = found[0].CustomerID
				}
			}
			return inner.Apply(ctx, b)
		}}
	}},
	{"an empty customer is any in reads", "an empty customer owns nothing", func(s *ports.Stores) {
		inner := s.Workloads
		s.Workloads = workloads{WorkloadStore: inner, get: func(ctx context.Context, c domain.CustomerID,
			ids ...domain.WorkloadID) ([]domain.Workload, error) {
			if c == "" {
				return inner.GetAny(ctx, ids...)
			}
			return inner.Get(ctx, c, ids...)
		}}
	}},
	{"aliased results", "inputs and results are not aliased", func(s *ports.Stores) {
		inner, cached := s.Workloads, map[domain.WorkloadID]domain.Workload{}
		s.Workloads = workloads{WorkloadStore: inner, getAny: func(ctx context.Context,
			ids ...domain.WorkloadID) ([]domain.Workload, error) {
			if w, ok := cached[ids[0]]; ok {
				return []domain.Workload{w}, nil
			}
			ws, err := inner.GetAny(ctx, ids...)
			if len(ws) > 0 {
				cached[ids[0]] = ws[0]
			}
			return ws, err
		}}
	}},
	{"quota counted before the insert", "64 racers at limit minus one admit exactly one", func(s *ports.Stores) {
		inner, cs, counts := s.Workloads, s.Customers, s.Statistics
		s.Workloads = workloads{WorkloadStore: inner, submit: func(ctx context.Context,
			b []domain.Submission) ([]ports.SubmitResult, error) {
			u, _ := counts.Usage(ctx, b[0].CustomerID)
			c, _ := cs.Get(ctx, b[0].CustomerID)
			runtime.Gosched()
			if limit := c.Limits().MaxQueueDepth; limit <= 3 && u.Queued < limit {
				_, _ = cs.Update(ctx, c.ID, domain.CustomerPatch{Limits: domain.LimitsPatch{MaxQueueDepth: domain.To(1000)}},
					domain.Admin{KeyID: "key_admin"})
			}
			return inner.Submit(ctx, b)
		}}
	}},
	{"idempotency digest ignored", "an idempotency key returns the first workload", func(s *ports.Stores) {
		inner := s.Workloads
		s.Workloads = workloads{WorkloadStore: inner, submit: func(ctx context.Context,
			b []domain.Submission) ([]ports.SubmitResult, error) {
			for i := range b {
				b[i].Digest = [32]byte{}
			}
			return inner.Submit(ctx, b)
		}}
	}},
	{"an audit event is missing", "start and completion in one batch are two events", func(s *ports.Stores) {
		s.Audit = auditStore{s.Audit, domain.AuditStarted}
	}},
	{"expiry ignores a fresh heartbeat", "a late heartbeat still renews the lease", func(s *ports.Stores) {
		inner := s.Workers
		s.Workers = workerStore{inner, func(
			ctx context.Context, b []ports.Beat, _ time.Duration,
		) ([]ports.BeatResult, error) {
			return inner.Heartbeat(ctx, b, -time.Hour)
		}}
	}},
	{"anyone purges", "only the leader purges", func(s *ports.Stores) {
		s.Retention = retention{s.Retention, s.Leader}
	}},
	{"a dead session is revived", "a lease ends when it is not renewed", func(s *ports.Stores) {
		inner := s.Workers
		s.Workers = workerStore{inner, func(
			ctx context.Context, b []ports.Beat, d time.Duration,
		) ([]ports.BeatResult, error) {
			rs, err := inner.Heartbeat(ctx, b, d)
			for i := range rs {
				rs[i].Status = domain.SessionCurrent
			}
			return rs, err
		}}
	}},
}

func TestSuites_WithAPlantedDefect_FailInItsCase(t *testing.T) {
	cases := map[string]contracttests.Case[contracttests.StoreHarness]{}
	for _, s := range contracttests.StoreSuites() {
		for _, c := range s.Cases {
			cases[c.Name] = c
		}
	}
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			c, ok := cases[d.caughtBy]
			require.True(t, ok, "no case is called %q", d.caughtBy)
			require.False(t, fails(t, c, defective(func(*ports.Stores) {})), "the case passes without the defect")
			caught := false
			for range 20 { // defects of timing show in one of several tries
				if caught = fails(t, c, defective(d.plant)); caught {
					break
				}
			}
			assert.True(t, caught, "%q is not caught by %q", d.name, d.caughtBy)
		})
	}
}
