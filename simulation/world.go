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
	"github.com/niyanta/niyanta/core/ports"
)

const (
	lease      = 20 * time.Second
	beat       = 5 * time.Second
	ttl        = 8 * time.Second
	keepDead   = 7 * 24 * time.Hour
	slots      = 3
	maxRetries = domain.DefaultMaxRetries
	tenant     = domain.CustomerID("cust_a")
	stranger   = domain.CustomerID("cust_b")
	// tenantConfig is the tenant's config of the type that is simulated.
	tenantConfig = domain.ConfigID("wlcfg_1")
	// healBound is how long after the last fault everything must have finished, in virtual time.
	healBound = 60 * time.Minute
)

// Probabilities of faults, per occasion.
type Probabilities struct {
	Drop, Duplicate         float64 // of a message, a request, an answer
	StoreBefore, StoreAfter float64 // of a call of a store
	Crash, Freeze, Cut      float64 // per step, of some process
	Stall                   float64 // of a call of a store: the others go on meanwhile, for a while
	// of a call of a store or of a coordinator: the caller's process ends before it, or right
	// behind it
	Die          float64
	Disconnect   float64 // per step: the bus carries nothing for a while
	Leave        float64 // per step: some worker is drained, or removed
	Unsupervised float64 // of a worker's death: its supervisor dies with it
}

// DefaultProbabilities make a few dozen faults in a run.
var DefaultProbabilities = Probabilities{
	Drop: 0.03, Duplicate: 0.03, StoreBefore: 0.01, StoreAfter: 0.01, Crash: 0.003, Freeze: 0.004,
	Cut: 0.003, Stall: 0.004, Die: 0.001, Disconnect: 0.0005, Leave: 0.001, Unsupervised: 0.3,
}

// Backend is where a run keeps its data.
type Backend struct {
	// Open gives one coordinator process its handle on the storage.
	Open func(w *World) (ports.Stores, error)
	// Opaque tells that what commits cannot be watched while it happens: then only what is stored
	// at the end is judged.
	Opaque bool
}

// World is one run.
type World struct {
	P      Probabilities
	Faults int
	// Plan, if set, does harm at one boundary, and counts them.
	Plan *Plan
	// Events counts what was applied.
	Events map[domain.Event]int
	// Trace is what was committed and what went wrong, in order, if it is kept.
	Trace []string
	Keep  bool

	rng          *rand.Rand
	clock        *clock
	clockOf      func() ports.Clock // makes the clock of the next process, if set
	ids          *ids
	log          *slog.Logger
	zip          *zstd.Compressor
	backend      Backend
	stores       ports.Stores // of nobody in particular: no fault touches it
	net          *network
	check        *checker
	coordinators []*process
	workers      []*worker
	processes    int            // of workers, so far
	certificates []*certificate // that were not heard yet
	acknowledged []domain.WorkloadID
	wants        map[domain.WorkloadID]string // the tag that a workload's worker must have
	inputs       map[domain.WorkloadID]scriptInput
	alone        map[domain.WorkloadID]bool // what must have no other beside it
	limit        int
	policy       domain.Policy
	preemption   bool
	keys         int
	healed       bool
	hash         uint64

	running *routine // the one that runs right now
	// Who waits for a store right now does nothing else, while stalled lets the others go on.
	actingC *process
	actingK *worker
	stalled bool
}

// InMemory is a backend of its own for each run.
func InMemory() Backend {
	var store *memory.Store
	return Backend{Open: func(w *World) (ports.Stores, error) {
		if store == nil {
			store = memory.NewStore(w.clock)
		}
		return store.Stores(), nil
	}}
}

// New prepares a run.
func New(seed uint64, p Probabilities, backend Backend) (*World, error) {
	rng := rand.New(rand.NewPCG(seed, 0x6e6979616e7461))
	w := &World{P: p, rng: rng, clock: &clock{now: begin}, ids: &ids{rng: rng}, limit: 8, backend: backend,
		wants: map[domain.WorkloadID]string{}, inputs: map[domain.WorkloadID]scriptInput{},
		alone: map[domain.WorkloadID]bool{}, Events: map[domain.Event]int{}}
	w.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	w.policy, w.preemption = domain.PolicyPriority, false
	if p != (Probabilities{}) {
		w.policy = []domain.Policy{domain.PolicyPriority, domain.PolicyFIFO, domain.PolicyFair}[rng.IntN(3)]
		w.preemption = rng.IntN(2) == 0
	}
	var err error
	if w.zip, err = zstd.New(); err != nil {
		return nil, err
	}
	if w.stores, err = backend.Open(w); err != nil {
		return nil, err
	}
	w.net, w.check = &network{w: w, commands: map[domain.WorkerID][]*listener{}}, newChecker(w)
	for _, id := range []domain.CustomerID{tenant, stranger} {
		if _, err := w.stores.Customers.Create(context.Background(), domain.Customer{
			ID: id, Name: "A", Tier: domain.TierPremium, Overrides: domain.Limits{MaxConcurrent: w.limit},
		}, operator); err != nil {
			return nil, err
		}
	}
	// Retries are soon, so that a run meets many.
	config := domain.WorkloadConfig{
		ID: tenantConfig, CustomerID: tenant, Type: "t", RunConfig: domain.DefaultRunConfig(),
	}
	config.Backoff = domain.RetryBackoff{Initial: time.Second, Factor: 2, Max: 5 * time.Minute}
	if _, err := w.stores.Configs.Create(context.Background(), config); err != nil {
		return nil, err
	}
	for range 2 {
		c, err := w.newCoordinator()
		if err != nil {
			return nil, err
		}
		w.coordinators = append(w.coordinators, c)
	}
	for n := range 3 {
		w.workers = append(w.workers, w.newWorker(domain.WorkerID(fmt.Sprint("w", n))))
	}
	return w, nil
}

var begin = time.Unix(1_700_000_000, 0).UTC()

// Now is the virtual time.
func (w *World) Now() time.Time { return w.clock.now }

// note adds to the trace.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", w.hash, line) // a hash never fails to write
	w.hash = h.Sum64()
	if w.Keep {
		w.Trace = append(w.Trace, fmt.Sprintf("%9.3fs %s", w.Now().Sub(begin).Seconds(), line))
	}
}

// Hash identifies the trace.
func (w *World) Hash() uint64 { return w.hash }

// Broken lists the invariants that were broken so far.
func (w *World) Broken() []string { return w.check.broken }

func (w *World) tagOf(id domain.WorkerID) string {
	if id == "w0" {
		return "gold"
	}
	return "tin"
}

// reachable is some coordinator that is not frozen; nil if none is.
func (w *World) reachable() *process {
	c := w.coordinators[w.rng.IntN(len(w.coordinators))]
	if !w.free(c) {
		return nil
	}
	return c
}

// free reports whether a coordinator can do something now.
func (w *World) free(c *process) bool {
	stalling := w.stalled && c == w.actingC
	return !w.Now().Before(c.frozenUntil) && !stalling
}

// gone unwinds a coordinator whose process ends in the middle of something.
type gone struct{ c *process }

// die ends the process of the coordinator that acts: nothing behind this line happens in it.
func (w *World) die() { panic(gone{w.actingC}) }

// as runs f as something that a coordinator does, on behalf of a worker if it is not nil. It
// reports whether the process has survived it; another one has taken its place otherwise.
func (w *World) as(c *process, k *worker, f func()) (survived bool) {
	if w.stalled { // the one that stalls stays the one that is not to be disturbed
		f()
		return true
	}
	w.actingC, w.actingK = c, k
	defer func() {
		w.actingC, w.actingK = nil, nil
		if p := recover(); p != nil {
			g, ok := p.(gone)
			if !ok {
				panic(p)
			}
			survived = false
			w.replace(g.c)
		}
	}()
	f()
	return true
}

// replace starts a coordinator in the place of one that has ended.
func (w *World) replace(c *process) {
	i := slices.Index(w.coordinators, c)
	w.note("crash of coordinator %d", i)
	c.Close()
	next, err := w.newCoordinator()
	if err != nil {
		panic(err) // a mistake in this package
	}
	w.coordinators[i] = next
}

// replaceWorker starts a worker in the place of one that has ended.
func (w *World) replaceWorker(k *worker, why string) {
	i := slices.Index(w.workers, k)
	w.note("%s of %s", why, k.id)
	k.crash()
	w.died(k)
	w.workers[i] = w.newWorker(k.id)
}

// stall lets the others go on while the call of a store is under way, for up to two leader leases:
// long enough to lose it.
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

// aloneOf reports whether a workload's anti rule keeps all others of its customer away: also one
// whose submission was not acknowledged.
func (w *World) aloneOf(id domain.WorkloadID) bool {
	if alone, known := w.alone[id]; known {
		return alone
	}
	found, err := w.stores.Workloads.GetAny(context.Background(), id)
	if err != nil || len(found) == 0 {
		return false
	}
	w.alone[id] = len(found[0].Affinity.Anti.WorkloadTypes) > 0
	return w.alone[id]
}

// inputOf is the script of a workload: also of one whose submission was not acknowledged.
func (w *World) inputOf(id domain.WorkloadID) scriptInput {
	if in, known := w.inputs[id]; known {
		return in
	}
	found, err := w.stores.Workloads.GetAny(context.Background(), id)
	var in scriptInput
	if err != nil || len(found) == 0 || json.Unmarshal([]byte(found[0].Input), &in) != nil {
		return in
	}
	w.inputs[id] = in
	return in
}
