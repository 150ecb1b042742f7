package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
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
	// healBound is the virtual time after the last fault within which every workload must finish.
	healBound = 60 * time.Minute
	// deletionBound is the virtual time after the last fault within which every deletion must finish.
	deletionBound = 10 * time.Minute
)

// Probabilities are the probabilities of the faults.
type Probabilities struct {
	// Drop and Duplicate: a message is lost or sent twice. Drop also loses requests and answers.
	Drop, Duplicate float64
	// StoreBefore and StoreAfter: a call of a store fails before the commit, or reports an error
	// after it.
	StoreBefore, StoreAfter float64
	// Crash, Freeze and Cut: in a step, a process ends, stops for a while, or cannot reach the
	// coordinators for a while.
	Crash, Freeze, Cut float64
	// Stall: a call of a store takes long, and the other processes go on meanwhile.
	Stall float64
	// Die: the caller of a store or of a coordinator ends before the call, or right after it.
	Die float64
	// Disconnect: in a step, the bus starts to lose all messages for a while.
	Disconnect float64
	// Leave: in a step, a worker is drained or removed.
	Leave float64
	// Unsupervised: the supervisor of a worker dies with it.
	Unsupervised float64
}

// DefaultProbabilities cause a few dozen faults in a run.
var DefaultProbabilities = Probabilities{
	Drop: 0.03, Duplicate: 0.03, StoreBefore: 0.01, StoreAfter: 0.01, Crash: 0.003, Freeze: 0.004,
	Cut: 0.003, Stall: 0.004, Die: 0.001, Disconnect: 0.0005, Leave: 0.001, Unsupervised: 0.3,
}

// Backend is the storage of a run.
type Backend struct {
	// Open opens the storage for one coordinator process.
	Open func(w *World) (ports.Stores, error)
	// Traces returns the number of items by kind that the storage has of a customer and these
	// workloads of it, but for what stays of a deleted customer.
	Traces func(customer domain.CustomerID, workloads []domain.WorkloadID) (map[string]int, error)
	// Opaque reports whether the checker cannot see commits as they happen. Then it checks only
	// what is stored at the end.
	Opaque bool
}

// World is one run.
type World struct {
	P      Probabilities
	Faults int // injected so far
	// Plan, if set, records the boundaries of the run and does harm at one of them.
	Plan *Plan
	// Events counts the applied transitions by event.
	Events map[domain.Event]int
	// Trace lists the commits and the faults, in order. It is only written if Keep is set.
	Trace []string
	Keep  bool

	rng          *rand.Rand
	clock        *clock
	clockOf      func() ports.Clock // if set, makes the clock of the next process
	ids          *ids
	log          *slog.Logger
	zip          *zstd.Compressor
	backend      Backend
	stores       ports.Stores // without faults, for the checker and for administrators
	net          *network
	check        *checker
	coordinators []*process
	workers      []*worker
	processes    int            // worker processes started so far
	moves        int            // workers replaced by one of another id so far
	certificates []*certificate // not answered yet
	accounts     []*account     // all customers that ever submitted, the tenant first
	owners       map[domain.WorkloadID]*account
	acknowledged []domain.WorkloadID // workloads whose submission was acknowledged
	requiredTag  map[domain.WorkloadID]string
	inputs       map[domain.WorkloadID]scriptInput
	alone        map[domain.WorkloadID]bool  // see runsAlone
	damaged      map[domain.WorkloadID]int64 // the checkpoint of a workload that cannot be read
	policy       domain.Policy
	preemption   bool
	keys         int       // the number of the last idempotency key
	healed       bool      // no fault happens any more
	renewed      time.Time // when leadership was last renewed since then
	hash         uint64

	running *routine // that is running now
	// actingC is the coordinator that is acting now, and actingK the worker that it acts for. While
	// stalled is set, their call waits for the store, and the other processes go on.
	actingC *process
	actingK *worker
	stalled bool
}

// InMemory returns a backend in memory. Each run needs one of its own.
func InMemory() Backend {
	var store *memory.Store
	return Backend{
		Open: func(w *World) (ports.Stores, error) {
			if store == nil {
				store = memory.NewStore(w.clock)
			}
			return store.Stores(), nil
		},
		Traces: func(customer domain.CustomerID, workloads []domain.WorkloadID) (map[string]int, error) {
			return store.Traces(customer, workloads), nil
		},
	}
}

// New prepares a run.
func New(seed uint64, p Probabilities, backend Backend) (*World, error) {
	rng := rand.New(rand.NewPCG(seed, 0x6e6979616e7461))
	w := &World{P: p, rng: rng, clock: &clock{now: begin}, ids: &ids{rng: rng}, backend: backend,
		owners:      map[domain.WorkloadID]*account{},
		requiredTag: map[domain.WorkloadID]string{}, inputs: map[domain.WorkloadID]scriptInput{},
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
	if err = errors.Join(w.onboard(tenant), w.onboard(stranger)); err != nil {
		return nil, err
	}
	w.accounts = w.accounts[:1] // the stranger submits nothing
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

// Now returns the virtual time.
func (w *World) Now() time.Time { return w.clock.now }

// note adds a line to the trace.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", w.hash, line) // a hash never fails to write
	w.hash = h.Sum64()
	if w.Keep {
		w.Trace = append(w.Trace, fmt.Sprintf("%9.3fs %s", w.Now().Sub(begin).Seconds(), line))
	}
}

// Hash returns the hash of the trace.
func (w *World) Hash() uint64 { return w.hash }

// Broken lists the violations so far.
func (w *World) Broken() []string { return w.check.broken }

// tagOf returns the tag of a worker.
func (w *World) tagOf(id domain.WorkerID) string {
	if home(id) == "w0" {
		return "gold"
	}
	return "tin"
}

// reachable draws a coordinator. It returns nil if that one is frozen or stalled.
func (w *World) reachable() *process {
	c := w.coordinators[w.rng.IntN(len(w.coordinators))]
	if !w.free(c) {
		return nil
	}
	return c
}

// free reports whether a coordinator is neither frozen nor stalled.
func (w *World) free(c *process) bool {
	stalling := w.stalled && c == w.actingC
	return !w.Now().Before(c.frozenUntil) && !stalling
}

// gone is the panic that unwinds a coordinator whose process ends in the middle of a call.
type gone struct{ c *process }

// die ends the process of the coordinator that is acting. It does not return.
func (w *World) die() { panic(gone{w.actingC}) }

// actAs runs f in a coordinator process, for a worker if k is not nil. It reports whether the
// process has survived. If not, actAs has replaced it.
func (w *World) actAs(c *process, k *worker, f func()) (survived bool) {
	if w.stalled { // actingC and actingK remain those of the stalled call
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

// replace ends a coordinator and starts another in its place.
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

// replaceWorker ends a worker process and starts another of the same id.
func (w *World) replaceWorker(k *worker, why string) { w.replaceWorkerBy(k.id, k, why) }

// moveWorker ends a worker process for good, as the loss of a machine does. A worker of another id
// starts in its place, so nobody registers under the old id again.
func (w *World) moveWorker(k *worker) {
	w.moves++
	w.replaceWorkerBy(domain.WorkerID(fmt.Sprintf("%s-%d", home(k.id), w.moves)), k, "loss")
}

func (w *World) replaceWorkerBy(id domain.WorkerID, k *worker, why string) {
	i := slices.Index(w.workers, k)
	w.note("%s of %s", why, k.id)
	k.crash()
	w.addCertificate(k)
	w.workers[i] = w.newWorker(id)
}

// home returns the id of the first worker in the place of this one.
func home(id domain.WorkerID) domain.WorkerID {
	first, _, _ := strings.Cut(string(id), "-")
	return domain.WorkerID(first)
}

// stall may make a call of a store take up to two leader leases, so that its caller loses the
// leadership. The other processes go on meanwhile.
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

// runsAlone reports whether a workload's anti-affinity keeps all other workloads of its customer
// off its worker.
func (w *World) runsAlone(id domain.WorkloadID) bool {
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

// inputOf returns the script of a workload.
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
