package coordinator_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/coordinator"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

const (
	acme     = domain.CustomerID("cust_acme")
	lease    = 20 * time.Second
	beat     = 4 * time.Second
	keepDead = 48 * time.Hour
)

var customer = domain.Principal{Role: domain.RoleCustomer, CustomerID: acme, KeyID: "key_1"}

// clock is later by step whenever it is read.
type clock struct {
	now  time.Time
	step time.Duration
}

func (c *clock) Now() time.Time {
	c.now = c.now.Add(c.step)
	return c.now
}

type ids struct{ n uint64 }

func (i *ids) New(prefix string) string {
	i.n++
	var b [16]byte
	binary.BigEndian.PutUint64(b[8:], i.n)
	return domain.EncodeID(prefix, b)
}
func (i *ids) Random([]byte)    {}
func (i *ids) Float64() float64 { return 0 }

type deaf struct{}

func (deaf) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (deaf) Checkpointed(ports.CheckpointAttempt)                      {}
func (deaf) Transitioned(domain.Batch, []domain.Result, time.Duration) {}
func (deaf) Cycle(ports.SchedulingCycle)                               {}
func (deaf) Leader(bool, int64)                                        {}
func (deaf) Purged(domain.Kept, int)                                   {}
func (deaf) Count(string, int)                                         {}

// place is a storage and the hints on which coordinators are put together.
type place struct {
	*testing.T
	clock    *clock
	ids      *ids
	stores   ports.Stores
	notifier *memory.Notifier
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{T: t, clock: &clock{now: time.Unix(1_700_000_000, 0)}, ids: &ids{}, notifier: memory.NewNotifier()}
	p.stores = memory.NewStore(p.clock).Stores()
	return p
}

func (p *place) coordinator(name string) *coordinator.Coordinator {
	p.Helper()
	z, err := zstd.New()
	require.NoError(p, err)
	c := coordinator.New(coordinator.Config{
		WorkerLease: lease, HeartbeatInterval: beat, LeaderTTL: 8 * time.Second, Policy: domain.PolicyPriority,
		Retention: domain.Retention{DeadWorkers: keepDead},
	}, p.stores, coordinator.Signals{
		Notifier: p.notifier, Listener: p.notifier, Limiter: memory.NewRateLimiter(p.clock),
	}, coordinator.Host{
		Name: name, Clock: p.clock, IDs: p.ids, Observer: deaf{}, Compressor: z, Log: slog.New(slog.DiscardHandler),
	})
	p.Cleanup(c.Close)
	return c
}

// onboard creates the customer.
func (p *place) onboard(c *coordinator.Coordinator) {
	p.Helper()
	_, err := c.Tenancy.CreateCustomer(p.Context(), domain.Customer{ID: acme, Name: "Acme", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(p, err)
}

// register registers worker w, which offers type t.
func (p *place) register(c *coordinator.Coordinator) ports.SessionRef {
	p.Helper()
	r := domain.Registration{WorkerID: "w", SessionID: "s", Capabilities: []string{"t"}, Slots: 1}
	_, err := c.Plane.Register(p.Context(), r)
	require.NoError(p, err)
	return ports.SessionRef{WorkerID: r.WorkerID, SessionID: r.SessionID}
}

// loops returns the loops of a coordinator by what they are called.
func loops(c *coordinator.Coordinator) map[string]coordinator.Loop {
	byName := map[string]coordinator.Loop{}
	for _, l := range c.Loops() {
		byName[l.Name] = l
	}
	return byName
}

// tick makes a round of a loop.
func (p *place) tick(l coordinator.Loop) coordinator.Round {
	p.Helper()
	r, err := l.Tick(p.Context())
	require.NoError(p, err, l.Name)
	return r
}

const (
	leading    = "leader lease"
	scheduling = "scheduling"
	sweeping   = "health sweeps"
	purging    = "retention"
)

func TestLoops_WhenElected_WakeTheOthersOnce(t *testing.T) {
	p := newPlace(t)
	ls := loops(p.coordinator("a"))
	reason := p.tick(ls[leading]).Wake
	require.NotEmpty(t, reason)
	assert.True(t, ls[scheduling].WokenBy(reason))
	assert.True(t, ls[sweeping].WokenBy(reason))
	assert.False(t, ls[leading].WokenBy(reason), "it would wake itself for ever")
	assert.Empty(t, p.tick(ls[leading]).Wake, "it was the leader before")
}

func TestLoops_AfterASchedulingCycle_RestAsLongAsItTook(t *testing.T) {
	p := newPlace(t)
	ls := loops(p.coordinator("a"))
	p.tick(ls[leading])
	for _, c := range []struct{ step, atLeast, atMost time.Duration }{
		{0, 0, 0}, {100 * time.Microsecond, 100 * time.Microsecond, 2 * time.Millisecond},
		{time.Second, 10 * time.Millisecond, 10 * time.Millisecond},
		{-time.Second, 0, 0}, // the clock was set back: the next round must not come later
	} {
		p.clock.step = c.step
		r := p.tick(ls[scheduling])
		p.clock.step = 0
		assert.GreaterOrEqual(t, r.Rest, c.atLeast)
		assert.LessOrEqual(t, r.Rest, c.atMost)
	}
	for name, l := range ls {
		if name != scheduling {
			p.clock.step = time.Second / 10
			assert.Zero(t, p.tick(l).Rest, name)
			p.clock.step = 0
		}
	}
}

func TestLoops_WhenTheLeaderStepsDown_AnotherOneTakesOverAtOnce(t *testing.T) {
	p := newPlace(t)
	a, b := p.coordinator("a"), p.coordinator("b")
	p.tick(loops(a)[leading])
	p.tick(loops(b)[leading])
	_, leads := b.Leadership.Current()
	require.False(t, leads)
	woken := make(chan string, 1)
	sub, err := p.notifier.Wakes(t.Context(), func(reason string) { woken <- reason })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Close()) })
	require.NoError(t, a.StepDown(t.Context()))
	require.True(t, loops(b)[leading].WokenBy(<-woken))
	p.tick(loops(b)[leading])
	_, leads = b.Leadership.Current()
	assert.True(t, leads)
}

func TestLoops_WokenBy(t *testing.T) {
	ls := loops(newPlace(t).coordinator("a"))
	for reason, want := range map[string]struct{ lead, sweep bool }{
		ports.WakeSteppedDown:      {lead: true},
		ports.WakeSubmit:           {},
		ports.WakeWorkerRegistered: {sweep: true},
		ports.WakeWorkerLeft:       {sweep: true},
		ports.WakeWorkerDied:       {sweep: true},
		ports.WakeWorkerRemoved:    {sweep: true},
		"anything else":            {},
	} {
		assert.Equal(t, want.lead, ls[leading].WokenBy(reason), "leader lease by %s", reason)
		assert.Equal(t, want.sweep, ls[sweeping].WokenBy(reason), "sweeps by %s", reason)
		assert.True(t, ls[scheduling].WokenBy(reason), "scheduling by %s", reason)
	}
}

func TestLoops_WhileEverySlotIsTaken_SubmissionsDoNotWakeTheScheduler(t *testing.T) {
	p := newPlace(t)
	c := p.coordinator("a")
	ls := loops(c)
	p.tick(ls[leading])
	p.tick(ls[scheduling]) // no worker: no slot is free
	assert.False(t, ls[scheduling].WokenBy(ports.WakeSubmit))
	assert.True(t, ls[scheduling].WokenBy(ports.WakeWorkerRegistered))
	p.register(c)
	p.tick(ls[scheduling])
	assert.True(t, ls[scheduling].WokenBy(ports.WakeSubmit))
}

func TestLoops_NextRoundOfTheScheduler(t *testing.T) {
	p := newPlace(t)
	c := p.coordinator("a")
	ls := loops(c)
	p.tick(ls[leading])
	assert.Equal(t, time.Second, p.tick(ls[scheduling]).Next, "nothing waits: it polls")

	p.onboard(c)
	submit := func(in time.Duration) {
		_, err := c.Lifecycle.Submit(t.Context(), customer,
			lifecycle.SubmitRequest{Type: "t", Input: "{}", RunAt: p.clock.now.Add(in)})
		require.NoError(t, err)
	}
	submit(time.Hour)
	assert.Equal(t, time.Second, p.tick(ls[scheduling]).Next, "what is due later than that waits for the polling")
	submit(300 * time.Millisecond)
	assert.Equal(t, 301*time.Millisecond, p.tick(ls[scheduling]).Next, "right after it becomes eligible")
}

func TestLoops_WhenSchedulingFails_TryAgainSoon(t *testing.T) {
	p := newPlace(t)
	ls := loops(p.coordinator("a"))
	p.tick(ls[leading])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := ls[scheduling].Tick(ctx)
	require.Error(t, err)
	assert.Equal(t, 100*time.Millisecond, r.Next)
}

func TestTimes_AssignmentThatNobodyTakes_IsSentAgainEveryTwoHeartbeatsAndTakenBackAfterALease(t *testing.T) {
	p := newPlace(t)
	c := p.coordinator("a")
	p.onboard(c)
	ref := p.register(c)
	sent := make(chan ports.Command, 10)
	sub, err := p.notifier.Commands(t.Context(), ref.WorkerID, func(c ports.Command) { sent <- c })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Close()) })
	w, err := c.Lifecycle.Submit(t.Context(), customer, lifecycle.SubmitRequest{Type: "t", Input: "{}"})
	require.NoError(t, err)
	for _, l := range c.Loops() {
		p.tick(l)
	}
	require.Equal(t, ports.CommandAssign, (<-sent).Kind)
	// The worker renews its lease, and has the run in its hands, but never reports that it has
	// started.
	h := ports.Heartbeat{SessionRef: ref, Inventory: []ports.InventoryItem{
		{WorkloadID: w.ID, Generation: 1, State: ports.RunStarting},
	}}
	begin, resent := p.clock.now, []time.Duration(nil)
	for p.clock.now.Sub(begin) < lease {
		p.clock.now = p.clock.now.Add(time.Second)
		_, err := c.Plane.Heartbeat(t.Context(), h)
		require.NoError(t, err)
		p.tick(loops(c)[leading])
		p.tick(loops(c)[sweeping])
		if len(sent) > 0 {
			require.Equal(t, ports.CommandAssign, (<-sent).Kind)
			resent = append(resent, p.clock.now.Sub(begin))
		}
		got, err := c.Lifecycle.Get(t.Context(), acme, w.ID)
		require.NoError(t, err)
		require.Equal(t, domain.StatusScheduled, got.Status, "after %s", p.clock.now.Sub(begin))
	}
	assert.Equal(t, []time.Duration{2*beat + time.Second, 4*beat + time.Second}, resent)
	p.clock.now = p.clock.now.Add(time.Second)
	p.tick(loops(c)[sweeping])
	got, err := c.Lifecycle.Get(t.Context(), acme, w.ID)
	require.NoError(t, err)
	assert.Equal(t, domain.StatusPending, got.Status, "one lease has passed")
}

func TestPoll_WhenAnAssignmentComesWithoutItsContent_ReadsItFromTheStore(t *testing.T) {
	p := newPlace(t)
	c := p.coordinator("a")
	p.onboard(c)
	ref := p.register(c)
	w, err := c.Lifecycle.Submit(t.Context(), customer, lifecycle.SubmitRequest{Type: "t", Input: `{"a":1}`})
	require.NoError(t, err)
	for _, l := range c.Loops() {
		p.tick(l)
	}
	got, err := c.Plane.Poll(t.Context(), ref, 0)
	require.NoError(t, err)
	require.Len(t, got, 1)
	bare := got[0]
	bare.Assignment = nil
	stale := ports.Command{Kind: ports.CommandAssign, SessionID: ref.SessionID, WorkloadID: "wl_gone", Generation: 1}
	drain := ports.Command{Kind: ports.CommandDrain, SessionID: ref.SessionID}
	p.notifier.Command(t.Context(), ref.WorkerID, bare, stale, drain)
	again, err := c.Plane.Poll(t.Context(), ref, 0)
	require.NoError(t, err)
	require.Equal(t, []ports.Command{drain, got[0]}, again)
	require.Equal(t, w.ID, again[1].Assignment.WorkloadID)
}

func TestTimes_DeadWorker_IsKeptAsLongAsConfigured(t *testing.T) {
	p := newPlace(t)
	c := p.coordinator("a")
	p.register(c)
	listed := func() []controlplane.WorkerView {
		for range 2 { // a leadership that lapsed while the clock jumped ends, and begins anew
			p.tick(loops(c)[leading])
		}
		p.tick(loops(c)[sweeping])
		for range len(domain.AllKept()) { // a round of the purges
			p.tick(loops(c)[purging])
		}
		ws, err := c.Plane.ListWorkers(t.Context())
		require.NoError(t, err)
		return ws
	}
	for range 2 * lease / beat { // a new leader spares everybody for one lease
		p.clock.now = p.clock.now.Add(beat)
		listed()
	}
	require.Equal(t, domain.WorkerDead, listed()[0].Status)
	p.clock.now = p.clock.now.Add(keepDead - 2*lease - time.Second)
	require.Len(t, listed(), 1)
	p.clock.now = p.clock.now.Add(time.Hour)
	require.Empty(t, listed())
}
