package journey_test

import (
	"encoding/binary"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/health"
	"github.com/niyanta/niyanta/core/services/insight"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/scheduling"
	"github.com/niyanta/niyanta/core/services/tenancy"
	"github.com/niyanta/niyanta/core/services/transitions"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

type ids struct{ n uint64 }

func (i *ids) New(prefix string) string {
	i.n++
	var b [16]byte
	binary.BigEndian.PutUint64(b[8:], i.n)
	return domain.EncodeID(prefix, b)
}
func (i *ids) Random(b []byte)  { i.n++; binary.LittleEndian.PutUint64(b, i.n) }
func (i *ids) Float64() float64 { return 0.5 }

type observer struct{ counts map[string]int }

func (o *observer) Submitted([]ports.SubmitResult)             {}
func (o *observer) Transitioned(domain.Batch, []domain.Result) {}
func (o *observer) Cycle(c ports.SchedulingCycle)              { o.counts["preempted"] += c.Preempted }
func (o *observer) Leader(bool, int64)                         {}
func (o *observer) Count(name string, n int)                   { o.counts[name] += n }

const (
	lease = 20 * time.Second
	ttl   = 8 * time.Second
	acme  = domain.CustomerID("cust_acme")
)

var customer = domain.Principal{Role: domain.RoleCustomer, CustomerID: acme, KeyID: "key_1"}

// coordinator is one coordinator's services on shared storage.
type coordinator struct {
	leader    *leadership.Service
	scheduler *scheduling.Service
	health    *health.Service
	plane     *controlplane.Service
	lifecycle *lifecycle.Service
	tenancy   *tenancy.Service
	insight   *insight.Service
}

// world is a storage with coordinators.
type world struct {
	*testing.T
	clock    *clock
	ids      *ids
	observer *observer
	stores   ports.Stores
	notifier *memory.Notifier
	schedule func(*scheduling.Deps) // changes a scheduler's settings
	a, b     *coordinator
}

func newWorld(t *testing.T, schedule ...func(*scheduling.Deps)) *world {
	t.Helper()
	w := &world{
		schedule: func(d *scheduling.Deps) {
			for _, change := range schedule {
				change(d)
			}
		},
		T: t, clock: &clock{now: time.Unix(1_700_000_000, 0)}, ids: &ids{}, observer: &observer{counts: map[string]int{}},
		notifier: memory.NewNotifier(),
	}
	w.stores = memory.NewStore(w.clock).Stores()
	w.a, w.b = w.coordinator("a"), w.coordinator("b")
	_, err := w.a.tenancy.CreateCustomer(t.Context(), domain.Customer{ID: acme, Name: "Acme", Tier: domain.TierPremium})
	require.NoError(t, err)
	return w
}

func (w *world) coordinator(name string) *coordinator {
	w.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	z, err := zstd.New()
	require.NoError(w, err)
	s := w.stores
	applier := transitions.New(s.Workloads, w.notifier, w.observer)
	leader := leadership.New(leadership.Config{Holder: name, TTL: ttl, Renew: time.Second, Margin: time.Second}, s.Leader, w.clock, w.observer, log)
	deps := scheduling.Deps{
		Queue: s.Queue, Insight: s.Insight, Workers: s.Workers, Workloads: s.Workloads, Customers: s.Customers, Applier: applier,
		Notifier: w.notifier, Observer: w.observer, Clock: w.clock, IDs: w.ids, Leader: leader, Log: log, Holder: name, Policy: domain.PolicyPriority,
	}
	w.schedule(&deps)
	scheduler := scheduling.New(deps)
	c := &coordinator{leader: leader, scheduler: scheduler}
	c.health = health.New(health.Config{Lease: lease, Resend: 5 * time.Second, Unassign: 15 * time.Second, TimeoutGrace: 15 * time.Second, Holder: name},
		health.Deps{
			Queue: s.Queue, Workers: s.Workers, Fleet: s.Fleet, Applier: applier, Sender: scheduler, Observer: w.observer, Clock: w.clock, IDs: w.ids,
			Leader: leader, Log: log,
		})
	c.plane = controlplane.New(controlplane.Config{Lease: lease, HeartbeatInterval: 5 * time.Second, Holder: name}, controlplane.Deps{
		Workers: s.Workers, Fleet: s.Fleet, Queue: s.Queue, Workloads: s.Workloads,
		Checkpoints: checkpointing.New(s.Checkpoints, z, applier, w.observer, log),
		Applier:     applier, Notifier: w.notifier, Listener: w.notifier, Observer: w.observer, Clock: w.clock, IDs: w.ids, Log: log,
	})
	w.Cleanup(c.plane.Close)
	c.lifecycle = lifecycle.New(lifecycle.Deps{
		Workloads: s.Workloads, Customers: s.Customers, Configs: s.Configs, Workers: s.Workers, Checkpoints: s.Checkpoints,
		Logs: s.Logs, Audit: s.Audit, Applier: applier, Notifier: w.notifier, Listener: w.notifier, Observer: w.observer,
		Clock: w.clock, IDs: w.ids, PauseWait: time.Nanosecond,
	})
	c.tenancy = tenancy.New(tenancy.Deps{
		Customers: s.Customers, Configs: s.Configs, Keys: s.Keys, Workloads: s.Workloads, Limiter: memory.NewRateLimiter(w.clock), Notifier: w.notifier,
		Clock: w.clock, IDs: w.ids, AdminKey: "admin", WorkerKeys: []string{"old", "new"},
	})
	c.insight = insight.New(insight.Deps{
		Queue: s.Queue, Insight: s.Insight, Workers: s.Workers, Workloads: s.Workloads, Customers: s.Customers, Clock: w.clock, Policy: deps.Policy,
	})
	return c
}

// tick lets every loop of the coordinators run once.
func (w *world) tick() {
	w.Helper()
	for _, c := range []*coordinator{w.a, w.b} {
		_, err := c.leader.Tick(w.Context())
		require.NoError(w, err)
		require.NoError(w, c.health.Tick(w.Context()))
		_, err = c.scheduler.Tick(w.Context())
		require.NoError(w, err)
	}
}

// pass lets time pass, second by second, with heartbeats of these workers every fifth.
func (w *world) pass(d time.Duration, alive ...*agent) {
	w.Helper()
	for n := range int(d / time.Second) {
		w.clock.now = w.clock.now.Add(time.Second)
		if n%5 == 4 {
			for _, a := range alive {
				a.beat()
			}
		}
		w.tick()
	}
}

func (w *world) submit(change ...func(*lifecycle.SubmitRequest)) domain.WorkloadID {
	w.Helper()
	req := lifecycle.SubmitRequest{Type: "t", Input: "{}"}
	for _, c := range change {
		c(&req)
	}
	wl, err := w.a.lifecycle.Submit(w.Context(), customer, req)
	require.NoError(w, err)
	return wl.ID
}

func (w *world) get(id domain.WorkloadID) domain.Workload {
	w.Helper()
	wl, err := w.a.lifecycle.Get(w.Context(), acme, id)
	require.NoError(w, err)
	return wl
}

// agent is a worker that does what the test says.
type agent struct {
	*world
	ref  ports.SessionRef
	held map[domain.WorkloadID]int64
}

func (w *world) worker(name string, slots int) *agent {
	w.Helper()
	a := &agent{world: w, ref: ports.SessionRef{WorkerID: domain.WorkerID(name), SessionID: domain.SessionID(w.ids.New("ses_"))}, held: map[domain.WorkloadID]int64{}}
	_, err := w.b.plane.Register(w.Context(), domain.Registration{WorkerID: a.ref.WorkerID, SessionID: a.ref.SessionID, Capabilities: []string{"t"}, Slots: slots})
	require.NoError(w, err)
	return a
}

// poll takes and starts what was assigned, and returns the other commands.
func (a *agent) poll() []ports.CommandKind {
	a.Helper()
	cs, err := a.b.plane.Poll(a.Context(), a.ref, 0)
	require.NoError(a, err)
	var rest []ports.CommandKind
	for _, c := range cs {
		if c.Kind != ports.CommandAssign {
			rest = append(rest, c.Kind)
			continue
		}
		a.held[c.WorkloadID] = c.Generation
		require.Equal(a, domain.OutcomeApplied, a.report(c.WorkloadID, domain.EventStart))
	}
	return rest
}

func (a *agent) beat() []ports.CommandKind {
	a.Helper()
	h := ports.Heartbeat{SessionRef: a.ref}
	for id, g := range a.held {
		h.Inventory = append(h.Inventory, ports.InventoryItem{WorkloadID: id, Generation: g, State: ports.RunRunning})
	}
	ans, err := a.b.plane.Heartbeat(a.Context(), h)
	require.NoError(a, err)
	var kinds []ports.CommandKind
	for _, c := range ans.Commands {
		kinds = append(kinds, c.Kind)
	}
	return kinds
}

func (a *agent) report(id domain.WorkloadID, e domain.Event) domain.Outcome {
	a.Helper()
	r := ports.Report{WorkloadID: id, Generation: a.held[id], Event: e}
	if e == domain.EventFail {
		r.Failure = &domain.Failure{Type: "error", Message: "boom"}
	}
	as, err := a.b.plane.Report(a.Context(), a.ref, []ports.Report{r})
	require.NoError(a, err)
	return as[0].Outcome
}
