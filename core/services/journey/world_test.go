package journey_test

import (
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
	"github.com/niyanta/niyanta/core/services/lifecycle"
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

func (o *observer) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (o *observer) Checkpointed(ports.CheckpointAttempt)                      {}
func (o *observer) Transitioned(domain.Batch, []domain.Result, time.Duration) {}
func (o *observer) Cycle(c ports.SchedulingCycle)                             { o.counts["preempted"] += c.Preempted }
func (o *observer) Leader(bool, int64)                                        {}
func (o *observer) Purged(domain.Kept, int)                                   {}
func (o *observer) Count(name string, n int)                                  { o.counts[name] += n }

const (
	lease = 20 * time.Second
	ttl   = 8 * time.Second
	acme  = domain.CustomerID("cust_acme")
)

var customer = domain.Principal{Role: domain.RoleCustomer, CustomerID: acme, KeyID: "key_1"}

// setup is what a coordinator is made of; a test may change it.
type setup struct {
	cfg    coordinator.Config
	stores ports.Stores
	host   coordinator.Host
}

// world is a storage with two coordinators.
type world struct {
	*testing.T
	clock    *clock
	ids      *ids
	observer *observer
	stores   ports.Stores
	notifier *memory.Notifier
	change   []func(*setup)
	a, b     *coordinator.Coordinator
}

func newWorld(t *testing.T, change ...func(*setup)) *world {
	t.Helper()
	w := &world{
		T: t, clock: &clock{now: time.Unix(1_700_000_000, 0)}, ids: &ids{},
		observer: &observer{counts: map[string]int{}}, notifier: memory.NewNotifier(), change: change,
	}
	w.stores = memory.NewStore(w.clock).Stores()
	w.a, w.b = w.coordinator("a"), w.coordinator("b")
	_, err := w.a.Tenancy.CreateCustomer(t.Context(), domain.Customer{ID: acme, Name: "Acme", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	return w
}

func (w *world) coordinator(name string) *coordinator.Coordinator {
	w.Helper()
	z, err := zstd.New()
	require.NoError(w, err)
	s := setup{
		cfg: coordinator.Config{
			WorkerLease: lease, HeartbeatInterval: 5 * time.Second, LeaderTTL: ttl,
			Retention: domain.Retention{DeadWorkers: 24 * time.Hour}, Policy: domain.PolicyPriority,
			PauseWait: time.Nanosecond, AdminKey: "admin",
			WorkerKeys: []string{"old", "new"},
		},
		stores: w.stores,
		host: coordinator.Host{
			Name: name, Clock: w.clock, IDs: w.ids, Observer: w.observer, Compressor: z,
			Log: slog.New(slog.DiscardHandler),
		},
	}
	for _, change := range w.change {
		change(&s)
	}
	c := coordinator.New(s.cfg, s.stores, coordinator.Signals{
		Notifier: w.notifier, Listener: w.notifier, Limiter: memory.NewRateLimiter(w.clock),
	}, s.host)
	w.Cleanup(c.Close)
	return c
}

// skewed is a clock that differs from the store's.
type skewed struct {
	*clock
	by time.Duration
}

func (s skewed) Now() time.Time { return s.clock.Now().Add(s.by) }

// whateverTheClock runs f with coordinators whose clocks agree with the store's, and whose don't.
func whateverTheClock(t *testing.T, f func(t *testing.T, skewed func(*setup))) {
	t.Helper()
	for _, by := range []time.Duration{0, time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			f(t, func(s *setup) { s.host.Clock = skewed{s.host.Clock.(*clock), by} })
		})
	}
}

// tick lets every loop of the coordinators run once.
func (w *world) tick() {
	w.Helper()
	for _, c := range []*coordinator.Coordinator{w.a, w.b} {
		for _, l := range c.Loops() {
			_, err := l.Tick(w.Context())
			require.NoError(w, err, l.Name)
		}
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
	wl, err := w.a.Lifecycle.Submit(w.Context(), customer, req)
	require.NoError(w, err)
	return wl.ID
}

func (w *world) get(id domain.WorkloadID) domain.Workload {
	w.Helper()
	wl, err := w.a.Lifecycle.Get(w.Context(), acme, id)
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
	a := &agent{
		world: w, held: map[domain.WorkloadID]int64{},
		ref: ports.SessionRef{WorkerID: domain.WorkerID(name), SessionID: domain.SessionID(w.ids.New("ses_"))},
	}
	_, err := w.b.Plane.Register(w.Context(), domain.Registration{
		WorkerID: a.ref.WorkerID, SessionID: a.ref.SessionID, Capabilities: []string{"t"}, Slots: slots,
	})
	require.NoError(w, err)
	require.Empty(w, a.poll()) // from now on its commands are kept for it
	return a
}

// poll takes and starts what was assigned, and returns the other commands.
func (a *agent) poll() []ports.CommandKind {
	a.Helper()
	cs, err := a.b.Plane.Poll(a.Context(), a.ref, 0)
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
	ans, err := a.b.Plane.Heartbeat(a.Context(), h)
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
	as, err := a.b.Plane.Report(a.Context(), a.ref, []ports.Report{r})
	require.NoError(a, err)
	return as[0].Outcome
}
