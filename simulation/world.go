package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

const (
	lease      = 20 * time.Second
	beat       = 5 * time.Second
	ttl        = 8 * time.Second
	slots      = 3
	maxRetries = domain.DefaultMaxRetries
	tenant     = domain.CustomerID("cust_a")
	// healBound is how long after the last fault everything must have finished, in virtual time.
	healBound = 30 * time.Minute
)

// Probabilities of faults, per occasion.
type Probabilities struct {
	Drop, Duplicate         float64 // of a message, a request, an answer
	StoreBefore, StoreAfter float64 // of a call of a store
	Crash, Freeze, Cut      float64 // per step, of some process
	Stall                   float64 // of a call of a store: the others go on meanwhile, for a while
}

// DefaultProbabilities make a few dozen faults in a run.
var DefaultProbabilities = Probabilities{
	Drop: 0.03, Duplicate: 0.03, StoreBefore: 0.01, StoreAfter: 0.01, Crash: 0.004, Freeze: 0.004, Cut: 0.003, Stall: 0.004,
}

// World is one run.
type World struct {
	P      Probabilities
	Faults int
	// Trace is what was committed and what went wrong, in order, if it is kept.
	Trace []string
	Keep  bool

	rng          *rand.Rand
	clock        *clock
	ids          *ids
	log          *slog.Logger
	zip          *zstd.Compressor
	store        *memory.Store
	net          *network
	check        *checker
	coordinators []*coordinator
	workers      []*worker
	acknowledged []domain.WorkloadID
	wants        map[domain.WorkloadID]string // the tag that a workload's worker must have
	fails        map[domain.WorkloadID]int    // how often a workload fails by itself
	limit        int
	keys         int
	healed       bool
	hash         uint64

	running *routine // the one that runs right now
	// Who waits for a store right now does nothing else, while stalled lets the others go on.
	actingC *coordinator
	actingK *worker
	stalled bool
}

// New prepares a run.
func New(seed uint64, p Probabilities) (*World, error) {
	rng := rand.New(rand.NewPCG(seed, 0x6e6979616e7461))
	w := &World{P: p, rng: rng, clock: &clock{now: time.Unix(1_700_000_000, 0)}, ids: &ids{rng: rng}, limit: 8,
		wants: map[domain.WorkloadID]string{}, fails: map[domain.WorkloadID]int{}}
	w.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if w.zip, err = zstd.New(); err != nil {
		return nil, err
	}
	w.store, w.net, w.check = memory.NewStore(w.clock), &network{w: w, commands: map[domain.WorkerID][]*listener{}}, newChecker(w)
	w.net.w = w
	if _, err := w.store.Customers().Create(context.Background(), domain.Customer{
		ID: tenant, Name: "A", Tier: domain.TierPremium, Overrides: domain.Limits{MaxConcurrent: w.limit},
	}); err != nil {
		return nil, err
	}
	for range 2 {
		w.coordinators = append(w.coordinators, w.newCoordinator())
	}
	for n := range 3 {
		w.workers = append(w.workers, w.newWorker(domain.WorkerID(fmt.Sprint("w", n))))
	}
	return w, nil
}

func (w *World) now() time.Time { return w.clock.now }

// note adds to the trace.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", w.hash, line) // a hash never fails to write
	w.hash = h.Sum64()
	if w.Keep {
		w.Trace = append(w.Trace, fmt.Sprintf("%9.3fs %s", w.now().Sub(time.Unix(1_700_000_000, 0)).Seconds(), line))
	}
}

func (w *World) tagOf(id domain.WorkerID) string {
	if id == "w0" {
		return "gold"
	}
	return "tin"
}

// reachable is some coordinator that is not frozen; nil if none is.
func (w *World) reachable() *coordinator {
	c := w.coordinators[w.rng.IntN(len(w.coordinators))]
	if !w.free(c) {
		return nil
	}
	return c
}

// free reports whether a coordinator can do something now.
func (w *World) free(c *coordinator) bool {
	stalling := w.stalled && c == w.actingC
	return !w.now().Before(c.frozenUntil) && !stalling
}

// stall lets the others go on while the call of a store is under way, for up to two leader leases: long enough to lose it.
func (w *World) stall() {
	if w.stalled || w.actingC == nil || !w.faulty(w.P.Stall) {
		return
	}
	c, k, r := w.actingC, w.actingK, w.running
	w.note("a call stalls")
	w.stalled = true
	for range w.rng.IntN(160) {
		w.step(context.Background())
	}
	w.stalled = false
	w.actingC, w.actingK, w.running = c, k, r
}

// failsOf is how often a workload fails by itself, from its input: also of one whose submission was not acknowledged.
func (w *World) failsOf(id domain.WorkloadID) int {
	if n, known := w.fails[id]; known {
		return n
	}
	found, err := w.store.Workloads().Get(context.Background(), "", id)
	var in scriptInput
	if err != nil || len(found) == 0 || json.Unmarshal([]byte(found[0].Input), &in) != nil {
		return 0
	}
	w.fails[id] = in.Fails
	return in.Fails
}

// Run takes so many steps with faults, then heals, and returns the invariants that were broken.
func (w *World) Run(steps int) []string {
	ctx := context.Background()
	for n := 0; n < steps && len(w.check.broken) == 0; n++ {
		w.step(ctx)
		if n%100 == 99 {
			w.check.contents()
		}
	}
	w.heal(ctx)
	w.check.contents()
	for _, k := range w.workers {
		k.crash() // nothing is left of it
	}
	for _, c := range w.coordinators {
		c.plane.Close()
	}
	return w.check.broken
}

// Hash identifies the trace.
func (w *World) Hash() uint64 { return w.hash }

// step lets one thing happen somewhere.
func (w *World) step(ctx context.Context) {
	w.clock.now = w.clock.now.Add(time.Duration(w.rng.IntN(200)) * time.Millisecond)
	w.disturb()
	switch n := w.rng.IntN(20); {
	case n < 3:
		if c := w.reachable(); c != nil {
			w.as(c, nil, func() { c.tick(ctx, n) })
		}
	case n < 5:
		w.net.deliver()
	case n == 5 && !w.healed:
		w.client(ctx)
	default:
		if k := w.workers[w.rng.IntN(len(w.workers))]; !w.stalled || k != w.actingK {
			k.step(ctx)
		}
	}
}

// as runs f as something that a coordinator does, on behalf of a worker if it is not nil.
func (w *World) as(c *coordinator, k *worker, f func()) {
	if w.stalled { // the one that stalls stays the one that is not to be disturbed
		f()
		return
	}
	w.actingC, w.actingK = c, k
	f()
	w.actingC, w.actingK = nil, nil
}

// disturb lets processes go wrong.
func (w *World) disturb() {
	if w.stalled {
		return
	}
	switch i := w.rng.IntN(len(w.workers)); {
	case w.faulty(w.P.Crash):
		w.note("crash of %s", w.workers[i].id)
		w.workers[i].crash()
		w.workers[i] = w.newWorker(w.workers[i].id)
	case w.faulty(w.P.Freeze):
		w.note("freeze of %s", w.workers[i].id)
		w.workers[i].frozenUntil = w.now().Add(time.Duration(w.rng.IntN(60)) * time.Second)
	case w.faulty(w.P.Cut):
		w.note("%s is cut off", w.workers[i].id)
		w.workers[i].cutUntil = w.now().Add(time.Duration(w.rng.IntN(60)) * time.Second)
	}
	switch i := w.rng.IntN(len(w.coordinators)); {
	case w.faulty(w.P.Crash):
		w.note("crash of coordinator %d", i)
		w.coordinators[i].plane.Close()
		w.coordinators[i] = w.newCoordinator()
	case w.faulty(w.P.Freeze):
		w.note("freeze of coordinator %d", i)
		w.coordinators[i].frozenUntil = w.now().Add(time.Duration(w.rng.IntN(30)) * time.Second)
	}
}

var user = domain.Actor{Kind: domain.ActorUser, ID: "key"}

var customer = domain.Principal{Role: domain.RoleCustomer, CustomerID: tenant, KeyID: "key"}

// client does what some client would.
func (w *World) client(ctx context.Context) {
	c := w.reachable()
	if c == nil {
		return
	}
	if n := w.rng.IntN(10); n < 5 || len(w.acknowledged) == 0 {
		w.as(c, nil, func() { w.submit(ctx, c) })
		return
	} else if n == 5 {
		w.changeLimit(ctx)
		return
	}
	id := w.acknowledged[w.rng.IntN(len(w.acknowledged))]
	w.as(c, nil, func() { w.steer(ctx, c, id) })
}

// changeLimit has an administrator change how much may run at once.
func (w *World) changeLimit(ctx context.Context) {
	limit := 2 + w.rng.IntN(8)
	patch := domain.CustomerPatch{Limits: &domain.Limits{MaxConcurrent: limit}}
	if _, err := w.store.Customers().Update(ctx, tenant, patch); err == nil {
		w.limit = limit
	}
}

func (w *World) steer(ctx context.Context, c *coordinator, id domain.WorkloadID) {
	switch w.rng.IntN(5) {
	case 0:
		_, _ = c.lifecycle.Cancel(ctx, tenant, id, user, "")
	case 1, 2:
		_, _, _ = c.lifecycle.Pause(ctx, tenant, id, user, "")
	default:
		_, _ = c.lifecycle.Resume(ctx, tenant, id, user, "")
	}
}

func (w *World) submit(ctx context.Context, c *coordinator) {
	req := lifecycle.SubmitRequest{Type: "t", Input: domain.JSON(fmt.Sprintf(`{"steps":%d,"fails":%d}`, 1+w.rng.IntN(6), max(w.rng.IntN(12)-6, 0)))}
	if w.rng.IntN(3) == 0 {
		w.keys += w.rng.IntN(2) // now and then the key of before
		req.IdempotencyKey = fmt.Sprint("k", w.keys)
		req.Input = `{"steps":2,"fails":0}`
	}
	gold := w.rng.IntN(4) == 0 && req.IdempotencyKey == ""
	if gold {
		req.Affinity.Hard.WorkerTags = map[string]string{"tag": "gold"}
	}
	wl, err := c.lifecycle.Submit(ctx, customer, req)
	if err != nil {
		return
	}
	if gold {
		w.wants[wl.ID] = "gold"
	}
	if !slices.Contains(w.acknowledged, wl.ID) {
		w.acknowledged = append(w.acknowledged, wl.ID)
	}
}

// heal ends all faults and waits until everything that was acknowledged is final.
func (w *World) heal(ctx context.Context) {
	w.healed = true
	w.note("healed")
	for _, k := range w.workers {
		k.frozenUntil, k.cutUntil = time.Time{}, time.Time{}
	}
	for _, c := range w.coordinators {
		c.frozenUntil = time.Time{}
	}
	until := w.now().Add(healBound)
	for w.now().Before(until) && len(w.check.broken) == 0 {
		for range 50 {
			w.step(ctx)
		}
		left := 0
		for _, id := range w.acknowledged {
			switch s := w.check.state[id]; {
			case s.Status == domain.StatusPaused:
				_, _ = w.coordinators[0].lifecycle.Resume(ctx, tenant, id, user, "")
				left++
			case !s.Status.Final():
				left++
			}
		}
		if left == 0 {
			return
		}
	}
	for _, id := range w.acknowledged {
		if s := w.check.state[id]; !s.Status.Final() {
			w.check.fail("I3", "%s is %s (%s) %s after the last fault", id, s.Status, s.Reason, healBound)
		}
	}
}
