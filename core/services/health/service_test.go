package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/health"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/transitions"
)

const (
	acme     = domain.CustomerID("cust_acme")
	lease    = 10 * time.Second
	resend   = 2 * time.Second
	unassign = 30 * time.Second
	grace    = 5 * time.Second
	timeout  = time.Minute
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// observer counts rare events.
type observer struct {
	ports.Observer
	counts map[string]int
}

func (observer) Leader(bool, int64)                                        {}
func (observer) Transitioned(domain.Batch, []domain.Result, time.Duration) {}
func (o observer) Count(name string, n int)                                { o.counts[name] += n }

// sender records the assignments that are sent again.
type sender struct{ sent []domain.WorkloadID }

func (s *sender) Send(_ context.Context, ids ...domain.WorkloadID) error {
	s.sent = append(s.sent, ids...)
	return nil
}

// place is a storage with a leader that sweeps it.
type place struct {
	*testing.T
	clock    *clock
	stores   ports.Stores
	leader   *leadership.Service
	sender   *sender
	observer observer
	health   *health.Service
}

// newPlace returns a place whose health service reads the queue through change, if that is not nil.
func newPlace(t *testing.T, change func(ports.QueueStore) ports.QueueStore) *place {
	t.Helper()
	p := &place{T: t, clock: &clock{time.Unix(1_700_000_000, 0)}, sender: &sender{}}
	p.observer.counts = map[string]int{}
	p.stores = memory.NewStore(p.clock).Stores()
	log, notifier := slog.New(slog.DiscardHandler), memory.NewNotifier()
	p.leader = leadership.New(leadership.Config{
		Holder: "coord_1", TTL: 8 * time.Second, Renew: 2 * time.Second, Margin: time.Second,
	}, leadership.Deps{Lease: p.stores.Leader, Clock: p.clock, Observer: p.observer, Log: log})
	queue := p.stores.Queue
	if change != nil {
		queue = change(queue)
	}
	p.health = health.New(health.Config{
		Lease: lease, Resend: resend, Unassign: unassign, TimeoutGrace: grace, Name: "coord_1",
	}, health.Deps{
		Queue: queue, Workers: p.stores.Workers, Sender: p.sender, Observer: p.observer,
		Applier: transitions.New(transitions.Deps{
			Workloads: p.stores.Workloads, Notifier: notifier, Observer: p.observer, Clock: p.clock,
		}),
		Clock: p.clock, IDs: system.IDs{}, Leader: p.leader, Log: log,
	})
	_, err := p.stores.Customers.Create(t.Context(),
		domain.Customer{ID: acme, Name: "Acme", Tier: domain.TierEnterprise}, domain.Admin{})
	require.NoError(t, err)
	return p
}

// lead makes the coordinator the leader, or renews its lease.
func (p *place) lead() {
	p.Helper()
	_, err := p.leader.Tick(p.Context())
	require.NoError(p, err)
}

// pass lets time pass in which the leader renews its lease.
func (p *place) pass(d time.Duration) {
	p.Helper()
	for left := d; left > 0; left -= time.Second {
		p.clock.now = p.clock.now.Add(min(left, time.Second))
		p.lead()
	}
}

func (p *place) tick() {
	p.Helper()
	require.NoError(p, p.health.Tick(p.Context()))
}

// register registers the worker with as many slots.
func (p *place) register(slots int) {
	p.Helper()
	r := domain.Registration{WorkerID: "w", SessionID: "s", ProcessID: "p", Capabilities: []string{"t"}, Slots: slots}
	_, err := p.stores.Workers.Register(p.Context(), r, lease)
	require.NoError(p, err)
}

// beat renews the lease of the worker.
func (p *place) beat() {
	p.Helper()
	_, err := p.stores.Workers.Heartbeat(p.Context(), []ports.Beat{{WorkerID: "w", SessionID: "s"}}, lease)
	require.NoError(p, err)
}

func (p *place) apply(b domain.Batch) {
	p.Helper()
	results, err := p.stores.Workloads.Apply(p.Context(), b)
	require.NoError(p, err)
	for _, r := range results {
		require.Equal(p, domain.OutcomeApplied, r.Outcome, r.Reason)
	}
}

// assign submits n workloads and assigns them to the worker.
func (p *place) assign(n int) []domain.WorkloadID {
	p.Helper()
	claim, leading := p.leader.Current()
	require.True(p, leading)
	ids := make([]domain.WorkloadID, n)
	subs, ts := make([]domain.Submission, n), make([]domain.Transition, n)
	for i := range ids {
		ids[i] = domain.WorkloadID(fmt.Sprintf("wl_%04d", i))
		run := domain.DefaultRunConfig()
		run.Timeout = timeout
		subs[i] = domain.Submission{Spec: domain.Spec{ID: ids[i], CustomerID: acme, Type: "t", Input: "{}", Run: run}}
		ts[i] = domain.Transition{
			WorkloadID: ids[i], Event: domain.EventAssign, Generation: 1, WorkerID: "w", SessionID: "s",
		}
	}
	_, err := p.stores.Workloads.Submit(p.Context(), subs)
	require.NoError(p, err)
	p.apply(domain.Batch{Epoch: claim.Epoch, Transitions: ts})
	return ids
}

// start has the worker report that it runs a workload.
func (p *place) start(id domain.WorkloadID) {
	p.Helper()
	p.apply(domain.Batch{Transitions: []domain.Transition{
		{WorkloadID: id, Event: domain.EventStart, Generation: 1, SessionID: "s"},
	}})
}

func (p *place) get(id domain.WorkloadID) domain.Workload {
	p.Helper()
	found, err := p.stores.Workloads.GetAny(p.Context(), id)
	require.NoError(p, err)
	require.Len(p, found, 1)
	return found[0]
}

func TestTick_WorkerBeyondItsLease_LosesItsWorkload(t *testing.T) {
	p := newPlace(t, nil)
	p.lead()
	p.register(1)
	id := p.assign(1)[0]
	p.start(id)
	p.pass(lease - time.Second)
	p.tick()
	require.Equal(t, domain.StatusRunning, p.get(id).Status, "the lease holds")
	p.pass(time.Second)
	p.tick()
	w := p.get(id)
	assert.Equal(t, domain.StatusRedistributing, w.Status)
	assert.Equal(t, 1, w.RedistributionCount)
	assert.Equal(t, 1, p.observer.counts["worker_expired"])
	workers, err := p.stores.Workers.List(t.Context(), "w")
	require.NoError(t, err)
	assert.Equal(t, domain.WorkerDead, workers[0].Status)
}

func TestTick_NewLeader_DeclaresNoWorkerDeadForALease(t *testing.T) {
	p := newPlace(t, nil)
	p.register(1)
	p.clock.now = p.clock.now.Add(time.Hour) // nobody led, and no heartbeat could be answered
	p.lead()
	p.tick()
	assert.Zero(t, p.observer.counts["worker_expired"])
	p.pass(lease - time.Second)
	p.tick()
	assert.Zero(t, p.observer.counts["worker_expired"], "the worker has one lease to send a heartbeat")
	p.pass(time.Second)
	p.tick()
	assert.Equal(t, 1, p.observer.counts["worker_expired"])
}

func TestTick_NotLeading_DoesNothing(t *testing.T) {
	p := newPlace(t, func(ports.QueueStore) ports.QueueStore { return nil }) // a read would panic
	p.tick()
	assert.Empty(t, p.observer.counts)
}

func TestTick_AssignmentNotStarted_IsSentAgainOncePerInterval(t *testing.T) {
	p := newPlace(t, nil)
	p.lead()
	p.register(1)
	id := p.assign(1)[0]
	p.pass(resend)
	p.tick()
	assert.Empty(t, p.sender.sent, "it may still be on its way")
	for n := range 3 {
		p.pass(resend / 2)
		p.tick()
		p.tick()
		assert.Len(t, p.sender.sent, n/2+1, n)
	}
	assert.Equal(t, id, p.sender.sent[0])
	p.start(id)
	p.pass(2 * resend)
	p.tick()
	assert.Len(t, p.sender.sent, 2, "what was started is not sent again")
}

func TestTick_AssignmentNeverStarted_IsTakenBack(t *testing.T) {
	p := newPlace(t, nil)
	p.lead()
	p.register(2)
	ids := p.assign(2)
	p.start(ids[1])
	for range unassign / time.Second {
		p.pass(time.Second)
		p.beat()
	}
	p.tick()
	require.Equal(t, domain.StatusScheduled, p.get(ids[0]).Status)
	p.pass(time.Second)
	p.tick()
	w := p.get(ids[0])
	assert.True(t, w.Status.Waiting(), w.Status)
	assert.Zero(t, w.RetryCount, "it is no failure of the workload")
	assert.Equal(t, domain.StatusRunning, p.get(ids[1]).Status)
}

func TestTick_RunBeyondItsDeadline_IsTimedOutAfterTheGrace(t *testing.T) {
	p := newPlace(t, nil)
	p.lead()
	p.register(1)
	id := p.assign(1)[0]
	p.start(id)
	for range (timeout + grace) / time.Second {
		p.pass(time.Second)
		p.beat()
	}
	p.tick()
	require.Equal(t, domain.StatusRunning, p.get(id).Status, "its worker may still end it")
	p.pass(time.Second)
	p.tick()
	w := p.get(id)
	assert.NotEqual(t, domain.StatusRunning, w.Status)
	assert.Equal(t, 1, w.RetryCount)
}

// broken fails one read of the queue.
type broken struct{ ports.QueueStore }

var errBroken = errors.New("broken")

func (broken) Orphans(context.Context, domain.WorkloadID, int) ([]ports.Orphan, error) {
	return nil, errBroken
}

func TestTick_WhenOneSweepFails_TheOthersRun(t *testing.T) {
	p := newPlace(t, func(q ports.QueueStore) ports.QueueStore { return broken{q} })
	p.lead()
	p.register(1)
	id := p.assign(1)[0]
	for range unassign/time.Second + 1 {
		p.pass(time.Second)
		p.beat()
	}
	require.ErrorIs(t, p.health.Tick(t.Context()), errBroken)
	assert.True(t, p.get(id).Status.Waiting())
	assert.Equal(t, 1, p.observer.counts["redistribution_failed"], "an alert counts it")
}

// deposed answers as a store whose leader is another one by now.
type deposed struct{ ports.QueueStore }

func (deposed) Orphans(context.Context, domain.WorkloadID, int) ([]ports.Orphan, error) {
	return nil, domain.NewError(domain.CodeFenced, "stale leader")
}

func TestTick_WhenAnotherLeads_CountsNoFailure(t *testing.T) {
	p := newPlace(t, func(q ports.QueueStore) ports.QueueStore { return deposed{q} })
	p.lead()
	require.Error(t, p.health.Tick(t.Context()))
	assert.Zero(t, p.observer.counts["redistribution_failed"])
}

func TestTick_MoreOrphansThanAPage_AreAllTakenBack(t *testing.T) {
	p := newPlace(t, nil)
	const n = 1201
	_, err := p.stores.Customers.Update(t.Context(), acme, domain.CustomerPatch{Limits: domain.LimitsPatch{
		MaxConcurrent: domain.To(n), MaxQueueDepth: domain.To(n),
	}}, domain.Admin{})
	require.NoError(t, err)
	p.lead()
	p.register(n)
	ids := p.assign(n)
	p.pass(lease)
	p.tick()
	for _, id := range ids {
		require.Equal(t, domain.StatusRedistributing, p.get(id).Status, id)
	}
}
